/** What may go wrong with a machine's container engine. All choices come from the seed. */
import type { SimCluster } from './cluster.ts';
import type { EngineTrouble } from './engine.ts';
import { anyRunning } from './work.ts';

type EngineFault = (cluster: SimCluster) => string;

/** Something is wrong with an engine for a while. */
function trouble(
  cluster: SimCluster,
  what: Partial<EngineTrouble>,
  [leastMs, mostMs]: readonly [number, number],
): string {
  const machine = anyRunning(cluster);
  if (machine === undefined) return 'nothing';
  const { world } = cluster;
  const { engine } = machine;
  Object.assign(engine.trouble, what);
  const durationMs = world.between(leastMs, mostMs);
  // Lost events may stay lost until the next look at everything; the other faults end with a stream
  // that connects anew, or never broke.
  const endsAnew = world.random() < 0.5;
  cluster.until(durationMs, () => {
    const { connection } = engine;
    engine.heal();
    engine.troubledMs = world.nowMs;
    if (!endsAnew) engine.connection = connection;
  });
  return `the engine of ${machine.name}: ${JSON.stringify(what)} for ${Math.round(durationMs)} ms`;
}

export const engineFaults: Readonly<Record<string, EngineFault>> = {
  slowEngine: (cluster) => {
    const slowness = cluster.world.pick([3, 10, 20]) ?? 3;
    return trouble(cluster, { slowness }, [2000, 30_000]);
  },
  hungEngine: (cluster) => trouble(cluster, { isHung: true }, [1000, 40_000]),
  failingPulls: (cluster) => trouble(cluster, { failsPulls: true }, [3000, 40_000]),
  lostEvents: (cluster) => trouble(cluster, { losesEvents: true }, [3000, 60_000]),
};
