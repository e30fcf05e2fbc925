/**
 * The lab by hand. Acts on a lab on disk, whoever made it; one that `up` makes stays until `down`.
 * Answers go to standard output, progress to standard error; a wrong call ends with code 2.
 */
import { spawnSync } from 'node:child_process';
import { formatError, TscError } from '../../src/lib/errors.ts';
import { loadImages } from './images.ts';
import { Lab } from './lab.ts';
import type { EngineName } from './packages.ts';
import { standInNames } from './stand-ins.ts';
import { labsOnDisk, readLab } from './state.ts';

const usage = `usage: lab [--lab NAME] COMMAND
  up N [--engine 28.5|20.10]     make a lab of N machines m1, m2, …
  add [--engine 28.5|20.10]      add one machine
  down                           remove the lab with its disks
  status                         machines, engines, containers, faults
  exec MACHINE COMMAND…          run a command in a machine
  crash MACHINE                  cut its power
  boot MACHINE                   switch it on again, same disk
  stop-engine MACHINE            stop its Docker engine
  start-engine MACHINE           start its Docker engine
  partition "m1 m2" "m3"         cut the wire between two groups
  one-way FROM TO                drop what FROM sends to TO
  loss MACHINE PERCENT           lose a share of its frames
  heal                           end all cuts and losses
  images [NAME…]                 load images on all machines (${standInNames.join(', ')})
  leftovers                      list what labs hold on this machine
  clean                          remove what crashed labs left
The name is "lab" when not given.
`;

const defaultName = 'lab';

class UsageError extends Error {}

interface Call {
  readonly lab: string;
  readonly words: readonly string[];
}

type Command = (call: Call) => Promise<number>;

const commands: Readonly<Record<string, Command>> = {
  async up({ lab, words }) {
    const { engine, rest } = engineOption(words);
    const count = Number(single(rest));
    if (!Number.isInteger(count) || count < 1) throw new UsageError('up needs a number');
    await Lab.create({ name: lab, machines: count, engine, isKept: true, log: progress });
    return showStatus(lab);
  },
  async add({ lab, words }) {
    const { engine, rest } = engineOption(words);
    none(rest);
    const machine = await (await open(lab)).addMachine({ engine });
    print(`${machine.name} ${machine.address}`);
    return 0;
  },
  async down({ lab, words }) {
    none(words);
    await (await open(lab)).destroy();
    return 0;
  },
  async status({ lab, words }) {
    none(words);
    return showStatus(lab);
  },
  async exec({ lab, words: [name, ...argv] }) {
    if (name === undefined || argv.length === 0) throw new UsageError('exec needs a command');
    const machine = (await open(lab)).machine(name);
    const [program = '', ...rest] = machine.enterCommand(argv);
    const result = spawnSync(program, rest, { stdio: 'inherit', env: machine.env, cwd: '/' });
    return result.status ?? 1;
  },
  async crash({ lab, words }) {
    await (await open(lab)).machine(single(words)).crash();
    return 0;
  },
  async boot({ lab, words }) {
    await (await open(lab)).machine(single(words)).boot();
    return 0;
  },
  async 'stop-engine'({ lab, words }) {
    await (await open(lab)).machine(single(words)).stopEngine();
    return 0;
  },
  async 'start-engine'({ lab, words }) {
    await (await open(lab)).machine(single(words)).startEngine();
    return 0;
  },
  async partition({ lab, words }) {
    const [a, b] = pair(words).map((group) => group.split(/[\s,]+/u).filter(Boolean));
    await (await open(lab)).partition(a ?? [], b ?? []);
    return 0;
  },
  async 'one-way'({ lab, words }) {
    const [from, to] = pair(words);
    await (await open(lab)).oneWay(from, to);
    return 0;
  },
  async loss({ lab, words }) {
    const [machine, percent] = pair(words);
    await (await open(lab)).loss(machine, Number(percent));
    return 0;
  },
  async heal({ lab, words }) {
    none(words);
    await (await open(lab)).heal();
    return 0;
  },
  async images({ lab, words }) {
    const { machines } = await open(lab);
    const up = machines.filter(({ isUp }) => isUp);
    const images = await loadImages(up, words.length > 0 ? words : standInNames);
    for (const { tags, id } of images) print(`${tags.join(' ')} ${id}`);
    return 0;
  },
  async leftovers({ words }) {
    none(words);
    const found = Lab.leftovers();
    for (const { kind, name, lab } of found) print(`${kind} ${name} ${lab ?? '-'}`);
    return Promise.resolve(found.length === 0 ? 0 : 1);
  },
  async clean({ words }) {
    none(words);
    for (const name of Lab.cleanLeftovers()) print(`removed ${name}`);
    return Promise.resolve(0);
  },
};

async function main(argv: readonly string[]): Promise<number> {
  try {
    const { lab, words } = labOption(argv);
    const [name = '', ...rest] = words;
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) throw new UsageError(name === '' ? '' : `no command "${name}"`);
    return await command({ lab, words: rest });
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message === '' ? '' : `lab: ${error.message}\n`}${usage}`);
      return 2;
    }
    if (!(error instanceof TscError)) throw error;
    process.stderr.write(`${formatError(error)}\n`);
    return error.code === 'E_LAB_USAGE' ? 2 : 1;
  }
}

async function showStatus(name: string): Promise<number> {
  const status = await (await open(name)).status();
  print(`lab ${status.name} on ${status.subnet}.0/24`);
  for (const machine of status.machines) {
    const engine = machine.containerCount === undefined ? 'no answer' : `${machine.containerCount}`;
    const loss = machine.lossPercent > 0 ? ` loss ${machine.lossPercent}%` : '';
    const state = machine.isUp ? `up containers ${engine}` : 'off';
    print(`${machine.name} ${machine.address} engine ${machine.engine} ${state}${loss}`);
  }
  for (const [from, to] of status.cuts) print(`cut ${from} -> ${to}`);
  return 0;
}

async function open(name: string): Promise<Lab> {
  if (readLab(name) === undefined) {
    const others = labsOnDisk().join(', ');
    const hint = others === '' ? 'make one with "up 3"' : `there are: ${others}`;
    throw new TscError('E_LAB_NAME', `there is no lab "${name}"`, { hint });
  }
  return Lab.open(name, progress);
}

function labOption(argv: readonly string[]): Call {
  const [first, name, ...rest] = argv;
  if (first !== '--lab') return { lab: defaultName, words: argv };
  if (name === undefined) throw new UsageError('--lab needs a name');
  return { lab: name, words: rest };
}

function engineOption(words: readonly string[]): {
  readonly engine: EngineName;
  readonly rest: readonly string[];
} {
  const at = words.indexOf('--engine');
  if (at < 0) return { engine: '28.5', rest: words };
  const engine = words[at + 1];
  if (engine !== '28.5' && engine !== '20.10') throw new UsageError('--engine 28.5 or 20.10');
  return { engine, rest: words.toSpliced(at, 2) };
}

function none(words: readonly string[]): void {
  if (words.length > 0) throw new UsageError(`not understood: ${words.join(' ')}`);
}

function single(words: readonly string[]): string {
  const [word, ...more] = words;
  none(more);
  if (word === undefined) throw new UsageError('one word is missing');
  return word;
}

function pair(words: readonly string[]): readonly [string, string] {
  const [first, second, ...more] = words;
  none(more);
  if (first === undefined || second === undefined) throw new UsageError('two words are needed');
  return [first, second];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

process.exitCode = await main(process.argv.slice(2));
