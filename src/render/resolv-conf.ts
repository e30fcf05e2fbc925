/**
 * The `resolv.conf` that is bind-mounted into containers. Docker's own resolver is not used: it
 * leaks container names between projects and stops with the engine. Two addresses are given: the
 * machine's own resolver, and one that the firewall leads to another machine, so that a restart of
 * the agent costs no look-up. The service's own `dns:` servers do not stand here: our resolver asks
 * them on the container's behalf, as the names of the project must go on resolving.
 */
import type { Service } from '../model/project.ts';
import type { MachineView } from '../model/view.ts';
import { secondResolverIp } from './addresses.ts';

/** The C libraries read no more. */
const searchLimit = 6;

/**
 * Renders the file.
 * @param search domains of the machine's own resolv.conf, used when the service sets none
 */
export function renderResolvConf(
  machine: Pick<MachineView, 'gatewayIp'>,
  service: Pick<Service, 'dns_search' | 'dns_opt'>,
  search: readonly string[],
): string {
  const domains = (service.dns_search ?? search)
    .filter((domain) => domain !== '.')
    .slice(0, searchLimit);
  const given = service.dns_opt ?? [];
  // ndots:0 as Docker does: names of services are asked as they are before any search domain.
  // The short timeout makes a silent first resolver cost one second, not the usual five.
  const defaults = ['ndots:0', 'timeout:1', 'attempts:3'].filter(
    (option) => !given.some((own) => own.split(':')[0] === option.split(':')[0]),
  );
  const lines = [
    `nameserver ${machine.gatewayIp}`,
    `nameserver ${secondResolverIp}`,
    ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : []),
    `options ${[...defaults, ...given].join(' ')}`,
  ];
  return `${lines.join('\n')}\n`;
}
