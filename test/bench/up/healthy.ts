/**
 * Sees containers become healthy, from the event streams of the engines: the same eye for every
 * contender, and one that costs the engines nothing while it waits.
 */
import type { Machine } from '../../lab/machine.ts';

/** 60 s: the slowest contender takes 5 s on a quiet machine. */
const timeoutMs = 60_000;

interface HealthWatch {
  /** Resolves when so many containers were seen becoming healthy since the watch began. */
  until(count: number): Promise<void>;
  stop(): void;
}

/** Begins to watch; resolves when all streams are open. */
export async function watchHealth(machines: readonly Machine[]): Promise<HealthWatch> {
  const seen = new Set<string>();
  const ended = new AbortController();
  let notify = (): void => undefined;
  const filters = JSON.stringify({ type: ['container'], event: ['health_status'] });
  await Promise.all(
    machines.map(async (machine) => {
      const stream = await machine.docker().getEvents({ filters, abortSignal: ended.signal });
      stream.on('error', () => undefined);
      stream.on('data', (chunk: Buffer) => {
        for (const line of chunk.toString('utf8').split('\n').filter(Boolean)) {
          // The engine writes one event a chunk line in this shape.
          const event = JSON.parse(line) as { Action: string; Actor: { ID: string } };
          if (event.Action === 'health_status: healthy') seen.add(event.Actor.ID);
        }
        notify();
      });
    }),
  );
  return {
    until: (count) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${seen.size} of ${count} containers are healthy`)),
          timeoutMs,
        );
        notify = () => {
          if (seen.size < count) return;
          clearTimeout(timer);
          resolve();
        };
        notify();
      }),
    stop: () => ended.abort(),
  };
}
