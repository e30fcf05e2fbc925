/**
 * What a user of Swarm would compare: a rolling update under traffic, a machine without power, and
 * a service that grows from 3 to 30. Five machines, both contenders in one lab, in turns. Goals are
 * ratios to Swarm in the same run, and to the floor that `docker run` of the same containers sets.
 * TSC_COMPOSE_BENCH_ONLY=update|cut|scale runs one part.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formCluster, startAgent, untilReachable } from '../lab/agents.ts';
import { buildImage, loadImages } from '../lab/images.ts';
import { Lab } from '../lab/lab.ts';
import { projectDir } from '../lab/paths.ts';
import { type Bench, type Figure, figure, median } from './figure.ts';
import { clientSource, imageName, serverSource } from './swarm/app.ts';
import { type Contender, formSwarm, type Machines, ours, swarm } from './swarm/contenders.ts';
import { type Cut, measurePowerCut } from './swarm/power-cut.ts';
import { measureScale, measureScaleFloor } from './swarm/scale.ts';
import type { Request } from './swarm/traffic.ts';
import { measureUpdate, type Updated } from './swarm/update.ts';

const machineCount = 5;
/** 3 rounds: a median that one busy moment does not move. */
const updateRoundCount = 3;
/** 5 rounds: a scale-up is over in seconds, and a busy second of the machine is a fifth of it. */
const scaleRoundCount = 5;
/** 2 s between measurements: what the last one left to do in the background is done. */
const restMs = 2_000;
/** The issue of every promise: no request may fail of at least so many. */
const leastRequestCount = 3_000;

type Progress = (line: string) => void;

export const bench: Bench = async (progress) => {
  if (!existsSync(join(projectDir, 'dist/agent/main.js'))) throw new Error('run `npm run build`');
  const only = process.env.TSC_COMPOSE_BENCH_ONLY;
  const wants = (part: string): boolean => only === undefined || only === part;
  const lab = await Lab.create({ machines: machineCount, engine: '28.5', log: progress });
  try {
    const [first, ...others] = lab.machines;
    if (first === undefined) throw new Error('a lab without machines');
    const machines: Machines = [first, ...others];
    const image = await buildImage({
      name: imageName,
      from: 'node:24',
      files: { '/app/server.js': serverSource, '/app/client.js': clientSource },
    });
    await loadImages(machines, [image, 'caddy:2']);
    const logLevel = process.env.TSC_COMPOSE_SHOW_LOGS === undefined ? 'info' : 'debug';
    for (const machine of machines) await startAgent(machine, { logLevel });
    await formCluster(machines);
    await formSwarm(machines);
    const figures: Figure[] = [];
    if (wants('update')) figures.push(...(await updates(machines, progress)));
    if (wants('scale')) figures.push(...(await scales(machines, progress)));
    if (wants('cut')) figures.push(...(await cuts(machines, progress)));
    return figures;
  } finally {
    await lab.destroy();
  }
};

async function updates(machines: Machines, progress: Progress): Promise<readonly Figure[]> {
  const own: Updated[] = [];
  const peer: Updated[] = [];
  for (let round = 1; round <= updateRoundCount; round++) {
    for (const [contender, list, hasIngress] of [
      [ours(machines), own, true],
      [swarm(machines), peer, false],
    ] as const) {
      const measured = await measureUpdate(contender, machines, { hasIngress });
      list.push(measured);
      progress(
        `update, round ${round}: ${contender.name}: done ${measured.doneS.toFixed(2)} s, said ` +
          `${measured.saidS.toFixed(2)} s; failed ${countFailed(measured.inside)} of ` +
          `${measured.inside.length} inside, ${countFailed(measured.outside)} of ` +
          `${measured.outside.length} through the ingress`,
      );
      for (const line of failures([...measured.inside, ...measured.outside])) progress(line);
      await sleep(restMs);
    }
  }
  const all = own.flatMap(({ inside, outside }) => [...inside, ...outside]);
  const least = Math.min(...own.map(({ inside }) => inside.length));
  if (least < leastRequestCount) throw new Error(`only ${least} requests in an update`);
  const theirs = peer.flatMap(({ inside }) => inside);
  const done = (list: readonly Updated[]) => median(list.map(({ doneS }) => doneS));
  const said = (list: readonly Updated[]) => median(list.map(({ saidS }) => saidS));
  return [
    figure('rolling update, 3 replicas', done(own), 's', {
      peer: { name: 'swarm', value: done(peer) },
      goal: 0.6,
    }),
    figure('rolling update, said', said(own), 's', { peer: { name: 'swarm', value: said(peer) } }),
    figure(`failed requests of ${all.length}`, countFailed(all), '', { goal: 0 }),
    figure(`swarm: failed requests of ${theirs.length}`, countFailed(theirs), ''),
  ];
}

async function scales(machines: Machines, progress: Progress): Promise<readonly Figure[]> {
  const times = { ours: [] as number[], swarm: [] as number[], floor: [] as number[] };
  for (let round = 1; round <= scaleRoundCount; round++) {
    times.ours.push(await measureScale(ours(machines), machines));
    await sleep(restMs);
    times.swarm.push(await measureScale(swarm(machines), machines));
    await sleep(restMs);
    times.floor.push(await measureScaleFloor(machines));
    await sleep(restMs);
    const last = Object.entries(times).map(
      ([name, list]) => `${name} ${list.at(-1)?.toFixed(2)} s`,
    );
    progress(`scale 3 to 30, round ${round}: ${last.join(', ')}`);
  }
  const own = median(times.ours);
  return [
    figure('scale 3 to 30, healthy', own, 's', {
      peer: { name: 'swarm', value: median(times.swarm) },
      goal: 1,
    }),
    figure('scale 3 to 30, healthy', own, 's', {
      peer: { name: 'docker run', value: median(times.floor) },
      goal: 1.3,
    }),
  ];
}

async function cuts(machines: Machines, progress: Progress): Promise<readonly Figure[]> {
  // In the Swarm a manager, but not the leader.
  const cut = machines[2];
  if (cut === undefined) throw new Error('too few machines');
  const say = (contender: Contender, measured: Cut): void => {
    progress(
      `power cut: ${contender.name}: elsewhere after ${measured.replacedS.toFixed(2)} s; client fails ` +
        `for ${measured.insideFailingS.toFixed(2)} s, ${countFailed(measured.inside)} of ` +
        `${measured.inside.length}; through the ingress ${countFailed(measured.outside)} of ` +
        `${measured.outside.length}, ${measured.outsideFailed.length} of them begun after the cut`,
    );
    for (const { startMs, endMs, problem, where } of measured.inside) {
      if (problem === undefined) continue;
      const [beganS, tookS] = [startMs - measured.cutMs, endMs - startMs].map((ms) => ms / 1000);
      progress(
        `  failed after ${beganS?.toFixed(1)} s, ${tookS?.toFixed(1)} s: ${problem} ${where}`,
      );
    }
    for (const line of failures(measured.outside)) progress(line);
  };
  const us = ours(machines);
  const own = await measurePowerCut(us, machines, { cut, hasIngress: true });
  say(us, own);
  await cut.boot();
  await startAgent(cut);
  await untilReachable(machines);
  await us.remove();
  const first = machines[0];
  const nodes = ['docker', 'node', 'ls', '--format', '{{.Status}}'];
  // Its managers may be without a leader for a while: then it does not answer.
  const isReady = async (): Promise<boolean> => {
    const { code, stdout } = await first.exec(nodes);
    return (
      code === 0 &&
      stdout
        .trim()
        .split('\n')
        .every((line) => line === 'Ready')
    );
  };
  while (!(await isReady())) await sleep(100);
  await sleep(restMs);
  const them = swarm(machines);
  const peer = await measurePowerCut(them, machines, { cut, hasIngress: false });
  say(them, peer);
  return [
    figure('power cut, replicas healthy elsewhere', own.replacedS, 's', {
      peer: { name: 'swarm', value: peer.replacedS },
      goal: 0.7,
    }),
    figure('power cut, client sees failures', own.insideFailingS, 's', { goal: 4 }),
    figure('swarm: client sees failures', peer.insideFailingS, 's'),
    figure(`failed through ingress of ${own.outside.length}`, own.outsideFailed.length, '', {
      goal: 0,
    }),
  ];
}

function countFailed(requests: readonly Request[]): number {
  return requests.filter(({ problem }) => problem !== undefined).length;
}

/** The first few failures, for whoever has to find their cause. */
function failures(requests: readonly Request[]): readonly string[] {
  return requests
    .filter(({ problem }) => problem !== undefined)
    .slice(0, 5)
    .map((one) => `  failed: ${JSON.stringify(one)}`);
}
