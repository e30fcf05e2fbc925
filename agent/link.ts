/**
 * Addresses, routes and MTU of the mesh device, by `ip`. Everything on the device is ours: what is
 * not wanted is removed, except what the kernel put there itself.
 */
import type { MeshConfig } from '../src/render/mesh.ts';
import { type RunCommand, runCommand } from './run-command.ts';

interface AddressEntry {
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
}

interface RouteEntry {
  readonly dst: string;
  readonly protocol?: string;
  readonly prefsrc?: string;
}

interface LinkEntry {
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info: readonly AddressEntry[];
}

export class LinkDriver {
  readonly #device: string;
  readonly #run: RunCommand;

  constructor(device: string, run: RunCommand) {
    this.#device = device;
    this.#run = run;
  }

  /** Brings the device up with exactly these addresses and routes. */
  async set(config: MeshConfig): Promise<void> {
    // A machine may have IPv6 off by default; the mesh address is IPv6, on this device only.
    await this.#run(['sysctl', '-qw', `net.ipv6.conf.${this.#device}.disable_ipv6=0`]);
    const link = await this.#readLink();
    if (link.mtu !== config.mtu) {
      await this.#ip('link', 'set', 'dev', this.#device, 'mtu', `${config.mtu}`);
    }
    await this.#setAddresses(link, config.addresses);
    if (!link.flags.includes('UP')) await this.#ip('link', 'set', 'dev', this.#device, 'up');
    await this.#setRoutes(config);
  }

  async #setAddresses(link: LinkEntry, wanted: readonly string[]): Promise<void> {
    const present = link.addr_info
      .filter((entry) => entry.scope !== 'link')
      .map((entry) => `${entry.local}/${entry.prefixlen}`);
    for (const address of wanted) {
      if (present.includes(address)) continue;
      const isIpv6 = address.includes(':');
      // Nobody else can have the address: it is derived from the key. Usable at once.
      await this.#ip('addr', 'add', address, 'dev', this.#device, ...(isIpv6 ? ['nodad'] : []));
    }
    for (const address of present) {
      if (!wanted.includes(address)) await this.#ip('addr', 'del', address, 'dev', this.#device);
    }
  }

  async #setRoutes(config: MeshConfig): Promise<void> {
    const present = [...(await this.#readRoutes('-4')), ...(await this.#readRoutes('-6'))];
    const ours = present.filter((route) => route.protocol !== 'kernel' && route.dst !== 'default');
    for (const { destination, source } of config.routes) {
      const bare = withoutHostPrefix(destination);
      const found = ours.find((route) => withoutHostPrefix(route.dst) === bare);
      if (found?.prefsrc === source) continue;
      await this.#ip(
        destination.includes(':') ? '-6' : '-4',
        'route',
        'replace',
        destination,
        'dev',
        this.#device,
        'src',
        source,
      );
    }
    const wanted = new Set(config.routes.map((route) => withoutHostPrefix(route.destination)));
    for (const route of ours) {
      if (wanted.has(withoutHostPrefix(route.dst))) continue;
      const family = route.dst.includes(':') ? '-6' : '-4';
      await this.#ip(family, 'route', 'del', route.dst, 'dev', this.#device);
    }
  }

  async #readLink(): Promise<LinkEntry> {
    const text = await this.#ip('-json', 'addr', 'show', 'dev', this.#device);
    // `ip -json` prints a list with one entry for the one device that was asked for.
    const [entry] = JSON.parse(text) as readonly LinkEntry[];
    return entry ?? { mtu: 0, flags: [], addr_info: [] };
  }

  async #readRoutes(family: '-4' | '-6'): Promise<readonly RouteEntry[]> {
    const text = await this.#ip(family, '-json', 'route', 'show', 'dev', this.#device);
    // The shape is that of iproute2; nothing at all is printed where there is no route.
    return text.trim() === '' ? [] : (JSON.parse(text) as readonly RouteEntry[]);
  }

  #ip(...argv: readonly string[]): Promise<string> {
    return runCommand(this.#run, ['ip', ...argv]);
  }
}

/** `ip` prints "fd00::1" for what was given as "fd00::1/128". */
function withoutHostPrefix(destination: string): string {
  return destination.replace(destination.includes(':') ? /\/128$/ : /\/32$/, '');
}
