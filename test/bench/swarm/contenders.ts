/** Who is measured: this project, Docker Swarm on the same machines, and the floor of both. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { label } from '../../../src/model/names.ts';
import { projectFolder, tscOk } from '../../lab/agents.ts';
import type { Machine } from '../../lab/machine.ts';
import { type App, composeFile, imageName, runWords, stackFile } from './app.ts';

/** 2 min: removing thirty containers takes 8 s on a quiet machine. */
const goneTimeoutMs = 120_000;
const pollMs = 50;

export type Machines = readonly [Machine, ...Machine[]];

export interface Contender {
  readonly name: string;
  /** Brings the app up or changes it; resolves when the contender itself says that it is done. */
  apply(app: App): Promise<void>;
  /** Sets the replicas of service `web`; resolves when the command returns. */
  scale(count: number): Promise<void>;
  /** The container of service `client` on its machine. */
  client(machine: Machine): Promise<string>;
  remove(): Promise<void>;
}

export function ours(machines: Machines): Contender {
  const [first] = machines;
  const cwd = projectFolder(first, 'bench');
  return {
    name: 'tsc-compose',
    apply: async (app) => {
      writeFileSync(join(cwd, 'compose.yaml'), composeFile(app));
      await tscOk(first, ['up'], { cwd });
    },
    scale: async (count) => void (await tscOk(first, ['scale', `web=${count}`], { cwd })),
    client: (machine) =>
      containerOf(machine, [`${label.project}=bench`, `${label.service}=client`]),
    remove: async () => {
      await tscOk(first, ['down'], { cwd });
      await untilGone(machines);
    },
  };
}

export function swarm(machines: Machines): Contender {
  const [first] = machines;
  const file = join(projectFolder(first, 'bench'), 'stack.json');
  return {
    name: 'swarm',
    apply: async (app) => {
      writeFileSync(file, stackFile(app));
      const deploy = ['docker', 'stack', 'deploy', '--resolve-image', 'never', '-c', file, 's'];
      await first.execOk(deploy, { timeoutMs: goneTimeoutMs });
      await until('the stack is up', async () => await isSettled(first, app));
    },
    scale: async (count) => {
      await first.execOk(['docker', 'service', 'scale', '-d', `s_web=${count}`]);
    },
    client: (machine) => containerOf(machine, ['com.docker.swarm.service.name=s_client']),
    remove: async () => {
      // On a busy machine it ended with exit code 1 once; asked again, a Swarm does it.
      await until('the stack is removed', async () => {
        return (await first.exec(['docker', 'stack', 'rm', 's'])).code === 0;
      });
      await untilGone(machines);
      // A stack of the same name is refused while the network of the last one is going.
      await until('the network is gone', async () => {
        const list = ['docker', 'network', 'ls', '-q', '--filter', 'name=s_n'];
        return (await first.execOk(list)) === '';
      });
    },
  };
}

/** What the engine's API tells of a task or a service, as far as it is read here. */
interface Task {
  readonly DesiredState?: string;
  readonly Status?: { readonly State?: string };
  readonly Spec?: { readonly ContainerSpec?: { readonly Env?: readonly string[] } };
}
interface SwarmService {
  readonly UpdateStatus?: { readonly State?: string };
}

/** Every wanted task runs (with a health check: is healthy) in this version, and no update is on. */
async function isSettled(first: Machine, app: App): Promise<boolean> {
  const docker = first.docker();
  const services = (await docker.listServices()) as readonly SwarmService[];
  if (services.some(({ UpdateStatus }) => UpdateStatus?.State === 'updating')) return false;
  const filters = { 'desired-state': ['running'] };
  const tasks = (await docker.listTasks({ filters })) as readonly Task[];
  const running = tasks.filter(({ Status, Spec }) => {
    const env = Spec?.ContainerSpec?.Env ?? [];
    return (
      Status?.State === 'running' && (env.length === 0 || env.includes(`VERSION=${app.version}`))
    );
  });
  return running.length === app.services.length * app.replicaCount + 1;
}

/** Makes a Swarm of the machines: three managers, as its manual advises, the others workers. */
export async function formSwarm([first, ...others]: Machines): Promise<void> {
  await first.execOk(['docker', 'swarm', 'init', '--advertise-addr', first.address]);
  for (const [index, machine] of others.entries()) {
    const role = index < 2 ? 'manager' : 'worker';
    const token = await first.execOk(['docker', 'swarm', 'join-token', '-q', role]);
    const join = ['docker', 'swarm', 'join', '--advertise-addr', machine.address];
    await machine.execOk([...join, '--token', token, `${first.address}:2377`]);
  }
}

/** `docker run` for so many containers at the same time, evenly over the machines. */
export async function runFloor(machines: Machines, count: number): Promise<void> {
  await Promise.all(
    machines.map((machine, index) => {
      const own = Math.floor((count + machines.length - 1 - index) / machines.length);
      const script = `${`${runWords.join(' ')} >/dev/null & `.repeat(own)} wait`;
      return machine.execOk(['sh', '-c', script], { timeoutMs: goneTimeoutMs });
    }),
  );
}

export async function removeFloor(machines: Machines): Promise<void> {
  const remove = 'docker ps -aq --filter label=bench=floor | xargs -r docker rm -f';
  await Promise.all(
    machines.map((machine) => machine.execOk(['sh', '-c', remove], { timeoutMs: goneTimeoutMs })),
  );
  await untilGone(machines);
}

async function containerOf(machine: Machine, labels: readonly string[]): Promise<string> {
  const filters = JSON.stringify({ label: labels });
  const [found] = await machine.docker().listContainers({ filters });
  if (found === undefined) throw new Error(`no container ${labels.join()} on ${machine.name}`);
  return found.Id;
}

async function untilGone(machines: Machines): Promise<void> {
  const filters = JSON.stringify({ ancestor: [imageName] });
  await until('what was started is gone', async () => {
    const lists = await Promise.all(
      machines.map((machine) => machine.docker().listContainers({ all: true, filters })),
    );
    return lists.every((list) => list.length === 0);
  });
}

async function until(what: string, isDone: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + goneTimeoutMs;
  while (!(await isDone())) {
    if (Date.now() > endMs) throw new Error(`not within ${goneTimeoutMs} ms: ${what}`);
    await sleep(pollMs);
  }
}
