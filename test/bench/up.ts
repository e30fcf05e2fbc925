/**
 * How long from the command to nine healthy containers on three machines, images present: beside
 * Docker Swarm on the same machines, and beside the floor, which is the engines alone. Contenders
 * take turns, so that a busy minute of this machine hits all of them; medians are compared.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formCluster, startAgent } from '../lab/agents.ts';
import { buildImage, loadImages } from '../lab/images.ts';
import { Lab } from '../lab/lab.ts';
import type { Machine } from '../lab/machine.ts';
import { projectDir } from '../lab/paths.ts';
import { type Bench, type Figure, figure, median } from './figure.ts';
import { containerCount, imageName, serverSource } from './up/app.ts';
import { type Contender, floor, formSwarm, ours, swarm } from './up/contenders.ts';
import { watchHealth } from './up/healthy.ts';

/** 7: enough for a median that one busy moment does not move; the first round is not counted. */
const roundCount = 7;
/** 1 s between runs: what the last one left to do in the background is done. */
const restMs = 1_000;
const machineCount = 3;

/** Times, beside Swarm (goal 0.7) and beside the floor (goal 1.4). */
export const bench: Bench = async (progress) => {
  if (!existsSync(join(projectDir, 'dist/agent/main.js'))) throw new Error('run `npm run build`');
  const engine = process.env.TSC_COMPOSE_ENGINE === '20.10' ? '20.10' : '28.5';
  const lab = await Lab.create({ machines: machineCount, engine, log: progress });
  try {
    const machines = atLeastOne(lab.machines);
    const image = await buildImage({
      name: imageName,
      from: 'node:24',
      files: { '/app/server.js': serverSource },
    });
    await loadImages(machines, [image]);
    const logLevel = process.env.TSC_COMPOSE_SHOW_LOGS === undefined ? 'info' : 'debug';
    for (const machine of machines) await startAgent(machine, { logLevel });
    await formCluster(machines);
    await formSwarm(machines);
    const contenders = [ours(machines), swarm(machines), floor(machines)] as const;
    const rounds: Measured[][] = contenders.map(() => []);
    for (let round = 0; round <= roundCount; round++) {
      for (const [index, contender] of contenders.entries()) {
        const measured = await measure(contender, machines);
        const { healthyS, saidS } = measured;
        const said = `healthy ${healthyS.toFixed(2)} s, said ${saidS.toFixed(2)} s`;
        progress(`round ${round}: ${contender.name}: ${said}`);
        if (round > 0) rounds[index]?.push(measured);
      }
    }
    return figures(contenders, rounds);
  } finally {
    await lab.destroy();
  }
};

/** Seconds from the command to the containers, and to the contender's own word. */
interface Measured {
  readonly healthyS: number;
  readonly saidS: number;
}

async function measure(contender: Contender, machines: readonly Machine[]): Promise<Measured> {
  const watch = await watchHealth(machines);
  const startMs = performance.now();
  const elapsed = () => (performance.now() - startMs) / 1000;
  const command = contender.start();
  try {
    const healthy = watch.until(containerCount);
    const [healthyS, saidS] = await Promise.all([
      healthy.then(elapsed),
      (contender.saysSo?.(command) ?? healthy).then(elapsed),
      command,
    ]);
    return { healthyS, saidS };
  } finally {
    watch.stop();
    await contender.stop();
    await sleep(restMs);
  }
}

/**
 * Judged by what the contenders say, because only then do they send traffic; the engines' own view
 * stands beside it without a goal: there the floor alone is above 0.7 of Swarm.
 */
function figures(
  contenders: readonly Contender[],
  rounds: readonly (readonly Measured[])[],
): readonly Figure[] {
  const medians = (pick: (one: Measured) => number) =>
    contenders.map(({ name }, index) => ({ name, value: median(rounds[index]?.map(pick) ?? []) }));
  const [ownSaid, swarmSaid, least] = medians(({ saidS }) => saidS);
  const [own, peer] = medians(({ healthyS }) => healthyS);
  if (!ownSaid || !swarmSaid || !least || !own || !peer) return [];
  const what = `up, ${containerCount} replicas`;
  return [
    figure(`${what} usable`, ownSaid.value, 's', { peer: swarmSaid, goal: 0.7 }),
    figure(`${what} usable`, ownSaid.value, 's', { peer: least, goal: 1.4 }),
    figure(`${what} healthy`, own.value, 's', { peer }),
    figure(`${what} healthy`, own.value, 's', { peer: least }),
  ];
}

function atLeastOne(machines: readonly Machine[]): readonly [Machine, ...Machine[]] {
  const [first, ...others] = machines;
  if (first === undefined) throw new Error('a lab without machines');
  return [first, ...others];
}
