/**
 * What a container does, as its image and command say: the same on every machine and at every
 * start, so a revision that is bad stays bad. An image is `<name>:<version>`, or
 * `<name>:<version>-<what>-<ms>` with one of:
 *
 *   crash   ends with code 1 after so long
 *   job     ends with code 0 after so long
 *   late    its health check passes after so long
 *   sick    its health check never passes, and is given up after so long
 *
 * A command of `["sleep", ms]` ends with code 0, one of `["fail", ms]` with code 1.
 */
import type { HealthState } from '../../src/model/record.ts';

export interface Behaviour {
  /** It ends by itself. */
  readonly exit?: { readonly afterMs: number; readonly code: number };
  readonly health?: { readonly afterMs: number; readonly becomes: HealthState };
}

/** 300 ms: the first question of a health check that asks often. */
const healthyMs = 300;

interface Program {
  readonly image: string;
  readonly command: readonly string[];
  readonly hasHealthcheck: boolean;
}

export function behaviourOf({ image, command, hasHealthcheck }: Program): Behaviour {
  const [word = '', durationMs = '0'] = command;
  if (word === 'sleep') return { exit: { afterMs: Number(durationMs), code: 0 } };
  if (word === 'fail') return { exit: { afterMs: Number(durationMs), code: 1 } };
  const [, what = '', ms = '0'] = image.split('-');
  const afterMs = Number(ms);
  if (what === 'crash') return { exit: { afterMs, code: 1 } };
  if (what === 'job') return { exit: { afterMs, code: 0 } };
  if (!hasHealthcheck) return {};
  if (what === 'sick') return { health: { afterMs, becomes: 'unhealthy' } };
  return { health: { afterMs: what === 'late' ? afterMs : healthyMs, becomes: 'healthy' } };
}

/** Whether a service with this image never comes to serve. */
export function isBadImage(image: string | undefined): boolean {
  return image?.includes('-crash-') === true || image?.includes('-sick-') === true;
}
