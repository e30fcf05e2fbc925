/** Who is measured: this project, Swarm, and the floor that nobody can be below. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectFolder, tscOk } from '../../lab/agents.ts';
import type { Machine } from '../../lab/machine.ts';
import { composeFile, containerCount, imageName, runWords, stackFile } from './app.ts';

/** 30 s: removing nine containers takes 2 s on a quiet machine. */
const goneTimeoutMs = 30_000;
const pollMs = 50;

export interface Contender {
  readonly name: string;
  /** The command that a user would give; resolves when it returns. */
  start(): Promise<void>;
  /** Resolves when the contender itself says that all replicas are up: only then it uses them. */
  readonly saysSo?: (command: Promise<void>) => Promise<void>;
  /** Takes all of it away again. */
  stop(): Promise<void>;
}

/** `tsc-compose up` and `down` on the first machine. */
export function ours(machines: readonly [Machine, ...Machine[]]): Contender {
  const [first] = machines;
  const cwd = projectFolder(first, 'bench');
  writeFileSync(join(cwd, 'compose.yaml'), composeFile);
  return {
    name: 'tsc-compose up',
    start: async () => void (await tscOk(first, ['up'], { cwd })),
    saysSo: (command) => command,
    stop: async () => {
      await tscOk(first, ['down'], { cwd });
      await untilGone(machines);
    },
  };
}

/** `docker stack deploy` on a Swarm of managers, with images that are there already. */
export function swarm(machines: readonly [Machine, ...Machine[]]): Contender {
  const [first] = machines;
  const file = join(projectFolder(first, 'bench'), 'stack.json');
  writeFileSync(file, stackFile);
  const docker = first.docker();
  return {
    name: 'docker stack deploy',
    start: async () => {
      const deploy = ['docker', 'stack', 'deploy', '--resolve-image', 'never'];
      await first.execOk([...deploy, '-c', file, 's']);
    },
    // A task with a health check is "running" only when it is healthy; until then "starting".
    saysSo: () =>
      until(async () => {
        const tasks: unknown = await docker.listTasks({
          filters: { 'desired-state': ['running'] },
        });
        const states = Array.isArray(tasks) ? tasks.map(stateOf) : [];
        return states.filter((state) => state === 'running').length >= containerCount;
      }),
    stop: async () => {
      // On a busy machine it ended with exit code 1 once; asked again, a Swarm does it.
      await until(async () => (await first.exec(['docker', 'stack', 'rm', 's'])).code === 0);
      await untilGone(machines);
      // A stack of the same name is refused while the network of the last one is going.
      await until(async () => {
        const args = ['docker', 'network', 'ls', '-q', '--filter', 'name=s_n'];
        return (await first.execOk(args)) === '';
      });
    },
  };
}

/** The state of a task as the engine's API tells it. */
function stateOf(task: { readonly Status?: { readonly State?: string } }): string | undefined {
  return task.Status?.State;
}

/** Makes a Swarm of the machines, all managers, as its manual advises for three. */
export async function formSwarm([first, ...others]: readonly [Machine, ...Machine[]]) {
  await first.execOk(['docker', 'swarm', 'init', '--advertise-addr', first.address]);
  const token = await first.execOk(['docker', 'swarm', 'join-token', '-q', 'manager']);
  for (const machine of others) {
    const join = ['docker', 'swarm', 'join', '--advertise-addr', machine.address];
    await machine.execOk([...join, '--token', token, `${first.address}:2377`]);
  }
}

/** `docker run` for every container at the same time, evenly over the machines. */
export function floor(machines: readonly [Machine, ...Machine[]]): Contender {
  const perMachine = containerCount / machines.length;
  const script = `${`${runWords.join(' ')} >/dev/null & `.repeat(perMachine)} wait`;
  return {
    name: 'docker run side by side',
    start: async () => {
      await Promise.all(machines.map((machine) => machine.execOk(['sh', '-c', script])));
    },
    stop: async () => {
      const remove = 'docker rm -f $(docker ps -aq --filter label=bench=floor)';
      await Promise.all(machines.map((machine) => machine.execOk(['sh', '-c', remove])));
      await untilGone(machines);
    },
  };
}

async function untilGone(machines: readonly Machine[]): Promise<void> {
  const filters = JSON.stringify({ ancestor: [imageName] });
  await until(async () => {
    const lists = await Promise.all(
      machines.map((machine) => machine.docker().listContainers({ all: true, filters })),
    );
    return lists.every((list) => list.length === 0);
  });
}

async function until(isDone: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + goneTimeoutMs;
  while (!(await isDone())) {
    if (Date.now() > endMs) throw new Error('what was started does not go away');
    await sleep(pollMs);
  }
}
