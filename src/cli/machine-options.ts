/**
 * `machine drain`, `activate`, `label`, `set` and `rm`: what operators say about machines. Draining waits
 * until what can move has moved, and says what stays and why; leaving the wait changes nothing.
 */
import type { Command } from 'commander';
import { TscError } from '../lib/errors.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { ContainerView, MachineView } from '../model/view.ts';
import type { Cli, CommandModule } from './cli.ts';
import { collect, count, exitCode, say } from './cli.ts';
import { untilSnapshot } from './until.ts';
import { parseCount } from './values.ts';

type Attach = Parameters<CommandModule['define']>[1];

/** Adds the sub-commands to `machine`. */
export function defineMachineOptions(command: Command, attach: Attach): void {
  const drain = command
    .command('drain')
    .description('Move the containers of a machine to others, and start none there')
    .argument('<machine>', 'name or id')
    .option('--no-wait', 'return when it is written down, before anything has moved')
    .option('--timeout <seconds>', 'give up waiting after this time');
  attach(drain, async (cli, [machine = '']) => {
    const options = drain.opts<{ wait: boolean; timeout?: string }>();
    const seconds = parseCount('--timeout', options.timeout ?? '0');
    await cli.client.setMachine(machine, { drain: true }, cli.signal);
    return options.wait ? waitForDrain(cli, machine, seconds * 1_000) : exitCode.ok;
  });

  const activate = command
    .command('activate')
    .description('Let a drained machine have containers again')
    .argument('<machine>', 'name or id');
  attach(activate, async (cli, [machine = '']) => {
    await cli.client.setMachine(machine, { drain: false }, cli.signal);
    say(cli.io.stderr, `${machine} may have containers again.`);
    say(cli.io.stderr, 'What runs elsewhere stays there until `tsc-compose rebalance`.');
    return exitCode.ok;
  });

  const label = command
    .command('label')
    .description('Set labels of a machine, for constraints and x-machines')
    .argument('<machine>', 'name or id')
    .argument('[labels...]', 'NAME=VALUE sets one, NAME- takes it away; none: print them');
  attach(label, async (cli, [machine = '', ...words]) => {
    if (words.length > 0) {
      await cli.client.setMachine(machine, { labels: parseLabels(words) }, cli.signal);
      return exitCode.ok;
    }
    const found = machineOf(await cli.client.snapshot(cli.signal), machine);
    for (const [name, value] of Object.entries(found.labels))
      say(cli.io.stdout, `${name}=${value}`);
    return exitCode.ok;
  });

  const set = command
    .command('set')
    .description('Say what a machine can carry')
    .argument('<machine>', 'name or id')
    .option('--weight <number>', 'its share of the containers; auto: by its size')
    .option('--resource <kind=count>', 'what replicas can reserve there; may be repeated', collect);
  attach(set, async (cli, [machine = '']) => {
    const { weight, resource = [] } = set.opts<{ weight?: string; resource?: readonly string[] }>();
    if (weight === undefined && resource.length === 0) {
      throw new TscError('E_USAGE_NOTHING', 'nothing to set: give --weight or --resource');
    }
    await cli.client.setMachine(
      machine,
      {
        ...(weight === undefined ? {} : { weight: parseWeight(weight) }),
        ...(resource.length === 0 ? {} : { resources: parseResources(resource) }),
      },
      cli.signal,
    );
    return exitCode.ok;
  });

  const rm = command
    .command('rm')
    .description('Remove a machine from the cluster for good')
    .argument('<machine>', 'name or id')
    .option('--force', 'although it runs containers, or has data that is given up then');
  attach(rm, async (cli, [machine = '']) => {
    const { force = false } = rm.opts<{ force?: boolean }>();
    const { name, notes } = await cli.client.removeMachine(machine, { force }, cli.signal);
    say(cli.io.stderr, `${name} was removed from the cluster.`);
    for (const note of notes) say(cli.io.stderr, `note: ${note}`);
    return exitCode.ok;
  });
}

/** @throws TscError E_USAGE_LABEL */
export function parseLabels(words: readonly string[]): Readonly<Record<string, string | null>> {
  return Object.fromEntries(
    words.map((word) => {
      const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
      if (name !== '') return [name, value];
      if (/^[^=]+-$/.test(word)) return [word.slice(0, -1), null];
      throw new TscError('E_USAGE_LABEL', `"${word}" is neither NAME=VALUE nor NAME-`);
    }),
  );
}

/** @throws TscError E_USAGE_NUMBER */
export function parseWeight(text: string): number | null {
  if (text === 'auto') return null;
  const weight = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  if (weight > 0) return weight;
  throw new TscError('E_USAGE_NUMBER', `--weight needs a number above 0, or auto, not "${text}"`);
}

/** @throws TscError E_USAGE_RESOURCE */
export function parseResources(words: readonly string[]): Readonly<Record<string, number | null>> {
  return Object.fromEntries(
    words.map((word) => {
      const [, kind = '', amount = ''] = /^([\w.-]+)=(\d{1,9}|auto)$/.exec(word) ?? [];
      if (kind !== '') return [kind, amount === 'auto' ? null : Number(amount)];
      throw new TscError('E_USAGE_RESOURCE', `"${word}" is not of the form KIND=COUNT`, {
        hint: 'for example gpu=2; gpu=auto takes what the engine says',
      });
    }),
  );
}

function machineOf(snapshot: Snapshot, nameOrId: string): MachineView {
  const { machines } = snapshot;
  const found =
    machines.find(({ id }) => id === nameOrId) ?? machines.find(({ name }) => name === nameOrId);
  if (found !== undefined) return found;
  throw new TscError('E_MACHINE_UNKNOWN', `no machine of this cluster is called "${nameOrId}"`, {
    hint: 'list them with `tsc-compose machine ls`',
  });
}

async function waitForDrain(cli: Cli, machine: string, timeoutMs: number): Promise<number> {
  const { stderr } = cli.io;
  let left = new Set<string>();
  const { snapshot, isOver } = await untilSnapshot(cli, timeoutMs, (next) => {
    const leaving = drainOf(next, machineOf(next, machine)).leaving;
    const names = new Set(leaving.map(({ name }) => name));
    for (const name of left) if (!names.has(name)) say(stderr, `${name} has left ${machine}`);
    left = names;
    return leaving.length === 0;
  });
  const { leaving, staying } = drainOf(snapshot, machineOf(snapshot, machine));
  for (const { container, why } of staying) say(stderr, `${container.name} stays: ${why}`);
  if (isOver) {
    say(stderr, `${machine} is drained.`);
    return exitCode.ok;
  }
  say(stderr, `${count(leaving.length, 'container')} still to leave ${machine}; this goes on.`);
  return cli.signal.aborted ? exitCode.interrupted : exitCode.failed;
}

interface Drain {
  readonly leaving: readonly ContainerView[];
  readonly staying: readonly { readonly container: ContainerView; readonly why: string }[];
}

/** Which running containers of a drained machine will leave it, and which cannot. */
export function drainOf(snapshot: Snapshot, machine: MachineView): Drain {
  const leaving: ContainerView[] = [];
  const staying: { container: ContainerView; why: string }[] = [];
  for (const container of snapshot.containers) {
    if (container.machine !== machine.id || container.state !== 'running') continue;
    const { project, service: name, slot } = container;
    const service = snapshot.projects
      .find((found) => found.name === project)
      ?.services.find((found) => found.name === name);
    // What is of no known project is left alone by the agents as well.
    if (service === undefined) continue;
    const owner = service.owners[slot];
    const reason = snapshot.waiting.find(
      (wait) => wait.project === project && wait.service === name && wait.slot === slot,
    )?.why;
    if (owner === machine.id) {
      staying.push({ container, why: reason ?? 'it belongs here' });
    } else if (owner === undefined && service.mode === 'replicated') {
      staying.push({ container, why: 'no other machine can run it' });
    } else {
      leaving.push(container);
    }
  }
  return { leaving, staying };
}
