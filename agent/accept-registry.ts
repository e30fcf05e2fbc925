/**
 * What a registry says of an image, asked through the engines: they know its certificates and
 * mirrors. Nothing is pulled here. A registry that refuses the credentials is told apart from one
 * that cannot be asked, because only the user can do something about the first.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { registryOf } from '../src/images/reference.ts';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import type { MachineView } from '../src/model/view.ts';
import { isRegistryRefusal } from './engine-errors.ts';
import type { RegistryAuth } from './engine-image.ts';
import type { Log } from './log.ts';

/** 30 s: one question to a registry, perhaps on another continent. */
const registryMs = 30_000;
/** 5 s: a question without which the change goes on as well. */
export const optionalMs = 5_000;

/** 3: machines that try to reach a registry at the same time. */
export const maxPullCount = 3;

export interface ImageComponents {
  readonly docker: (machine: MachineId) => Promise<Dockerode>;
  /** Credentials for the registry of an image, if there are any. */
  readonly authFor: (reference: string) => RegistryAuth | undefined;
  readonly log: Log;
}

/** An image of a service on the machines that may run it. */
export interface Wanted {
  readonly service: string;
  readonly reference: string;
  readonly policy: string | undefined;
  readonly platform: string | undefined;
  readonly eligible: readonly MachineView[];
}

/** What the registry has under a name now. */
export interface Found {
  readonly digest: string;
  /** "linux/arm64" */
  readonly platforms: readonly string[];
}

/**
 * Asks the registry, through some of the engines: they know its certificates and mirrors.
 * @returns undefined when it cannot be asked; a pull may still say more
 * @throws TscError E_REGISTRY_REFUSED
 */
export async function askRegistry(
  { eligible, reference, service }: Wanted,
  { docker, authFor, log }: ImageComponents,
  timeoutMs = registryMs,
): Promise<Found | undefined> {
  const authconfig = authFor(reference);
  const attempts = eligible.slice(0, maxPullCount).map(async ({ id }) => {
    const engine = await docker(id);
    const image = engine.getImage(reference);
    const answer: unknown = await Promise.race([
      image.distribution(authconfig === undefined ? {} : { authconfig }),
      late(timeoutMs),
    ]);
    return foundIn(answer);
  });
  try {
    return await Promise.any(attempts);
  } catch (error) {
    const causes: unknown[] = error instanceof AggregateError ? error.errors : [error];
    const refused = causes.find((cause) => isRegistryRefusal(cause));
    if (refused !== undefined) throw registryRefused(service, reference, authconfig, refused);
    log.info('the registry could not be asked', { reference, error: causes[0] });
    return undefined;
  }
}

function foundIn(answer: unknown): Found {
  const { Descriptor, Platforms } = answer as {
    readonly Descriptor?: { readonly digest?: unknown };
    readonly Platforms?: readonly { readonly os?: string; readonly architecture?: string }[] | null;
  };
  const digest = Descriptor?.digest;
  if (typeof digest !== 'string') throw new Error('the engine told no digest');
  const platforms = (Platforms ?? [])
    .filter(({ os, architecture }) => os && architecture && os !== 'unknown')
    .map(({ os, architecture }) => `${os}/${architecture}`);
  return { digest, platforms: [...new Set(platforms)].sort() };
}

/** Rejects after the time: for calls that take no signal. */
export async function late(timeoutMs: number): Promise<never> {
  await pause(timeoutMs, undefined, { ref: false });
  throw new TscError('E_ENGINE_TIMEOUT', `the engine did not answer within ${timeoutMs} ms`);
}

/** The error that says whose credentials a registry refused. */
export function registryRefused(
  service: string,
  reference: string,
  auth: RegistryAuth | undefined,
  cause: unknown,
): TscError {
  const registry = registryOf(reference) ?? 'the registry';
  const who =
    auth === undefined
      ? 'wants credentials, and none were given'
      : `refuses the credentials of ${auth.username || 'the token'}`;
  return new TscError(
    'E_REGISTRY_REFUSED',
    `service ${service}: ${registry} ${who} for image "${reference}"`,
    {
      hint: `docker login ${registry}, here, and run the command again. Nothing has been changed`,
      cause,
    },
  );
}
