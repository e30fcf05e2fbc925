/** All that must be there before the show: said first, then done, with the time each thing took. */
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildIfStale, isBuildStale } from '../../scripts/lib/build-if-stale.ts';
import { formCluster, projectFolder, startAgent } from '../lab/agents.ts';
import { loadImages } from '../lab/images.ts';
import { Lab, labUnavailable } from '../lab/lab.ts';
import { cacheDir, projectDir } from '../lab/paths.ts';
import { projectName, seconds } from './show.ts';
import type { Stage } from './stage.ts';

export const labName = 'demo';
const machineCount = 3;

/** Says what will be unpacked and started, before anything of it happens. */
export function announce(stage: Stage): void {
  const { bold } = stage.paint;
  const hasPackages = existsSync(join(cacheDir(), 'packages'));
  const packages = hasPackages ? ' (there from an earlier run, unless its list changed)' : '';
  stage.say(
    bold('tsc-compose: one Compose file on three machines'),
    '',
    'The three machines are made of namespaces on this one. Nothing is installed. This will',
    `  unpack  Docker 28.5, WireGuard, nftables, redis and Caddy, from Debian's packages into`,
    `          ${shortPath(cacheDir())}${packages}`,
    `  build   dist/${isBuildStale() ? '' : ' (up to date)'}`,
    '  start   three Docker engines and three agents, in networks of their own; to this machine',
    '          they add one network link (tl…) with one route: no open port, no firewall rule',
    `  keep    them running, until \`npm run demo -- down\``,
    '',
  );
}

/** Makes the lab with agents in one cluster. @returns undefined when none can be made here */
export async function setUp(stage: Stage): Promise<Lab | undefined> {
  const log = (line: string) => stage.say(`  ${stage.paint.dim(line)}`);
  const unavailable = await step(stage, 'packages', () => labUnavailable('28.5', log));
  if (unavailable !== undefined) {
    stage.say(stage.paint.bad(`This machine cannot run the demo: ${unavailable}.`));
    return undefined;
  }
  await step(stage, 'build', buildIfStale);
  Lab.cleanLeftovers(labName);
  const lab = await step(stage, 'three machines with their engines', () =>
    Lab.create({ name: labName, machines: machineCount, engine: '28.5', isKept: true, log }),
  );
  await step(stage, 'images: node, redis and Caddy, made of packages', () =>
    loadImages(lab.machines, ['node:24', 'redis:7', 'caddy:2']),
  );
  await step(stage, 'agents in one cluster', async () => {
    await Promise.all(lab.machines.map((machine) => startAgent(machine)));
    await formCluster(lab.machines);
  });
  return lab;
}

/** Copies the sample to where all machines see it. @returns the folder */
export function copySample(lab: Lab): string {
  const [first] = lab.machines;
  if (first === undefined) throw new Error('a lab without machines');
  const folder = projectFolder(first, projectName);
  cpSync(join(projectDir, 'samples/demo'), folder, { recursive: true });
  return folder;
}

async function step<T>(stage: Stage, name: string, work: () => Promise<T>): Promise<T> {
  const startMs = Date.now();
  stage.say(`  ${name} …`);
  const result = await work();
  stage.say(stage.paint.dim(`  ${name}: ${seconds(Date.now() - startMs)}`));
  return result;
}

function shortPath(path: string): string {
  return path.startsWith(`${projectDir}/`) ? path.slice(projectDir.length + 1) : path;
}
