/**
 * A private registry on a machine of the lab: Debian's docker-registry with a name and a password.
 * It speaks plain HTTP, so engines that are to use it need `insecure-registries` (`daemonConfig` of
 * a lab). Other programs of that machine push to it and log in to it as to any other.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TscError } from '../../src/lib/errors.ts';
import { httpGet } from './http.ts';
import type { Machine } from './machine.ts';
import { ensurePackages, toolPath } from './packages.ts';

export interface LabRegistry {
  /** "10.x.y.z:5000": the first part of the names of its images. */
  readonly host: string;
  readonly user: string;
  readonly password: string;
}

const port = 5000;

/** 20 s: it listens within half a second on a quiet machine. */
const startTimeoutMs = 20_000;

const user = 'someone';
const password = 's3cret-pass';
/** bcrypt of the password with the least cost; the registry takes no other kind of hash. */
const passwordHash = '$2b$04$uT77Wgq4vhhgYGlj44vws.DGofClKtIVBhKvQm6bYEnY8jhftx5X.';

/**
 * Starts a registry.
 * @throws TscError E_LAB_PACKAGES when its package cannot be had
 */
export async function startRegistry(machine: Machine): Promise<LabRegistry> {
  const toolset = await ensurePackages('registry');
  await machine.writeFile('/etc/registry/htpasswd', `${user}:${passwordHash}\n`);
  const config = {
    version: 0.1,
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: '/srv/registry' }, delete: { enabled: true } },
    http: { addr: `:${port}` },
    auth: { htpasswd: { realm: 'lab', path: '/etc/registry/htpasswd' } },
  };
  await machine.writeFile('/etc/registry/config.yml', JSON.stringify(config));
  const program = toolPath(toolset, 'docker-registry');
  await machine.spawn([program, 'serve', '/etc/registry/config.yml'], { name: 'registry' });
  const endMs = Date.now() + startTimeoutMs;
  for (;;) {
    const answer = await httpGet({ address: machine.address, port, path: '/v2/' }).catch(
      () => undefined,
    );
    if (answer?.status === 401) return { host: `${machine.address}:${port}`, user, password };
    if (Date.now() > endMs) throw new TscError('E_LAB_TIMEOUT', 'the registry does not answer');
    await sleep(50);
  }
}
