/**
 * Two services cannot answer for one host: not by `x-ports`, and not by Caddyfiles of their own,
 * whose hosts are known only after Caddy has read them.
 */
import { TscError } from '../lib/errors.ts';
import type { Project } from '../model/project.ts';
import type { CaddySites } from '../model/record.ts';
import type { View } from '../model/view.ts';
import { hostsOfSites } from '../render/x-caddy.ts';
import { hostnamesOf } from './published.ts';

/**
 * @param caddy by service of the change: what Caddy made of its Caddyfile
 * @throws TscError E_PORT_TAKEN
 */
export function checkCaddyHosts(
  view: View,
  project: Project,
  selected: readonly string[],
  caddy: Readonly<Record<string, CaddySites>>,
): void {
  const owners = new Map<string, Owner>();
  const claims = (
    whose: string,
    names: readonly string[],
    own: CaddySites | undefined,
  ): readonly (readonly [string, Owner])[] => [
    ...names.map((host) => [host, { whose, isOwnFile: false }] as const),
    ...(own === undefined ? [] : hostsOfSites(own)).map(
      (host) => [host, { whose, isOwnFile: true }] as const,
    ),
  ];
  for (const other of view.projects.values()) {
    for (const { name, spec, revision } of other.services.values()) {
      if (other.name === project.name && selected.includes(name)) continue;
      const whose = `service "${name}" of project "${other.name}"`;
      const own = spec['x-caddy'] === undefined ? undefined : revision.caddy?.[name];
      for (const [host, owner] of claims(whose, hostnamesOf(spec), own)) owners.set(host, owner);
    }
  }
  for (const name of selected) {
    const whose = `service "${name}" of project "${project.name}"`;
    const names = hostnamesOf(project.services[name] ?? {});
    for (const [host, owner] of claims(whose, names, caddy[name])) {
      const before = owners.get(host);
      owners.set(host, owner);
      // Of two entries of `x-ports` the other check speaks; within a project they may be shared.
      if (before === undefined || !(before.isOwnFile || owner.isOwnFile)) continue;
      if (before.whose === whose) continue;
      throw new TscError(
        'E_PORT_TAKEN',
        `hostname "${host}" of service "${name}" is answered by ${before.whose}`,
        { hint: 'use another hostname, or take the other service down first' },
      );
    }
  }
}

interface Owner {
  readonly whose: string;
  readonly isOwnFile: boolean;
}
