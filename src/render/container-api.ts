/**
 * What an engine of a given API version cannot do. `ignored` keys only make a container start a bit
 * differently, so they are left out and said; `refused` keys would change what the container sees,
 * so it is not created. Versions: the engine's API change log, and `docker compose`, which refuses
 * the same keys.
 */
import type { Service } from '../model/project.ts';
import { objectAt, textAt } from './container-read.ts';

/** A key of a service that this machine's engine is too old for. */
export interface EngineGap {
  /** Path inside the service: "healthcheck.start_interval". */
  readonly key: string;
  readonly neededVersion: string;
  readonly effect: 'ignored' | 'refused';
}

/** First engine API versions that know a feature. */
export const since = {
  createMountpoint: '1.42',
  annotations: '1.43',
  startInterval: '1.44',
  endpointMacAddress: '1.44',
  readOnlyRecursive: '1.44',
  volumeSubpath: '1.45',
  imageMount: '1.48',
} as const;

/** Compares API versions part by part, as numbers: "1.9" is older than "1.41". */
export function apiAtLeast(version: string, needed: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [neededMajor = 0, neededMinor = 0] = needed.split('.').map(Number);
  return major > neededMajor || (major === neededMajor && minor >= neededMinor);
}

/** Keys of the service that an engine of this API version cannot honour, in a fixed order. */
export function engineGaps(service: Service, apiVersion: string): readonly EngineGap[] {
  const gaps: EngineGap[] = [];
  const need = (isUsed: boolean, key: string, needed: string, effect: EngineGap['effect']) => {
    if (isUsed && !apiAtLeast(apiVersion, needed)) {
      gaps.push({ key, neededVersion: needed, effect });
    }
  };
  need(service.annotations !== undefined, 'annotations', since.annotations, 'ignored');
  need(
    service.healthcheck?.start_interval !== undefined,
    'healthcheck.start_interval',
    since.startInterval,
    'ignored',
  );
  for (const mount of service.volumes ?? []) {
    const at = `volumes[${mount.target}]`;
    need(mount.type === 'image', at, since.imageMount, 'refused');
    need(
      mount.volume?.subpath !== undefined,
      `${at}.volume.subpath`,
      since.volumeSubpath,
      'refused',
    );
    const recursive = textAt(objectAt(mount, 'bind') ?? {}, 'recursive');
    need(
      recursive === 'writable' || recursive === 'readonly',
      `${at}.bind.recursive`,
      since.readOnlyRecursive,
      'refused',
    );
  }
  return gaps;
}
