/**
 * A lab: several machines with Docker engines on this one, and a wire between them that can be cut,
 * made one-way or lossy. See README.md for how to use it.
 *
 * The state is on disk (state.ts), so two objects of one lab agree. A lab ends with the process that
 * made it, unless that asked to keep it; what a killed process left, `Lab.cleanLeftovers` removes.
 * The lab adds one link and one route to the root namespace and nothing else: no firewall rule, no
 * port, no file outside its folder and the package cache.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { TscError } from '../../src/lib/errors.ts';
import { weighContainers } from './cgroups.ts';
import {
  cleanLeftovers,
  endWith,
  forgetAtExit,
  isInUse,
  type Leftover,
  leftovers,
  ownerOfKept,
  removeAtExit,
  removeLab,
} from './cleanup.ts';
import { Machine } from './machine.ts';
import { type Engine, type EngineName, ensureEngine, ensurePackages } from './packages.ts';
import { processIdentity } from './processes.ts';
import { run } from './run.ts';
import {
  claimLab,
  currentBootId,
  type LabState,
  type MachineState,
  readLab,
  rootLinkName,
  updateLab,
} from './state.ts';
import {
  applyFaults,
  claimSubnet,
  createUnderlay,
  machineLimit,
  rootAddress,
  type UnderlayTools,
  underlayTools,
} from './underlay.ts';

export interface LabOptions {
  /** How many machines to start with; 0 makes only the wire. */
  readonly machines: number;
  /** Engine of the machines; '28.5' when not given. */
  readonly engine?: EngineName;
  /** Leave it out in tests: labs then never meet. */
  readonly name?: string;
  /** First three numbers of a /24; a free one below 10.201 when not given. */
  readonly subnet?: string;
  /** Content of the engines' daemon.json. */
  readonly daemonConfig?: Readonly<Record<string, unknown>>;
  /** Whether to start the engines; true when not given. */
  readonly withEngine?: boolean;
  /** Whether the lab outlives this process (until the end of `$TSC_COMPOSE_LAB_OWNER`); false when not given. */
  readonly isKept?: boolean;
  readonly log?: (line: string) => void;
}

export interface AddMachineOptions {
  readonly engine?: EngineName;
  readonly daemonConfig?: Readonly<Record<string, unknown>>;
  readonly withEngine?: boolean;
}

export interface MachineStatus {
  readonly name: string;
  readonly address: string;
  readonly engine: EngineName;
  readonly isUp: boolean;
  /** Running containers; undefined when the engine does not answer. */
  readonly containerCount: number | undefined;
  readonly lossPercent: number;
}

export interface LabStatus {
  readonly name: string;
  readonly subnet: string;
  readonly machines: readonly MachineStatus[];
  readonly cuts: LabState['cuts'];
}

export class Lab {
  readonly name: string;
  /** First three numbers of the underlay's /24. */
  readonly subnet: string;
  /** This process's own address on the underlay. */
  readonly rootAddress: string;
  readonly #engines: ReadonlyMap<EngineName, Engine>;
  readonly #tools: UnderlayTools;
  readonly #machines = new Map<string, Machine>();
  readonly #log: (line: string) => void;

  private constructor(
    state: LabState,
    engines: ReadonlyMap<EngineName, Engine>,
    tools: UnderlayTools,
    log: (line: string) => void,
  ) {
    this.name = state.name;
    this.subnet = state.subnet;
    this.rootAddress = rootAddress(state.subnet);
    this.#engines = engines;
    this.#tools = tools;
    this.#log = log;
  }

  /** Makes a lab and waits until its engines answer. */
  static async create(options: LabOptions): Promise<Lab> {
    const log = options.log ?? (() => undefined);
    const engineName = options.engine ?? '28.5';
    const engine = await ensureEngine(engineName, { log });
    const tools = underlayTools((await ensurePackages('bookworm', { log })).bin);
    const name = options.name ?? `t${randomBytes(4).toString('hex')}`;
    cleanLeftovers();
    if (!isInUse(name)) cleanLeftovers(name);
    const seed = createHash('sha256').update(name).digest().readUInt32BE();
    const { subnet, peer } = await claimSubnet(tools.ip, options.subnet, seed % 256);
    const state: LabState = {
      name,
      owner: options.isKept === true ? ownerOfKept() : (processIdentity(process.pid) ?? null),
      bootId: currentBootId(),
      subnet,
      ipProgram: tools.ip,
      machines: [],
      cuts: [],
      losses: {},
    };
    if (!claimLab(state)) {
      await run([tools.ip, 'link', 'del', rootLinkName(subnet)]);
      throw new TscError('E_LAB_NAME', `a lab named "${name}" is in use`, {
        hint: 'choose another name, or take it down',
      });
    }
    if (options.isKept !== true) removeAtExit(name);
    else if (state.owner !== null) endWith(state.owner, name);
    const lab = new Lab(state, new Map([[engineName, engine]]), tools, log);
    try {
      await createUnderlay(state, peer, tools);
      weighContainers(name);
      const { daemonConfig, withEngine } = options;
      await lab.addMachines(options.machines, {
        engine: engineName,
        ...(daemonConfig === undefined ? {} : { daemonConfig }),
        ...(withEngine === undefined ? {} : { withEngine }),
      });
    } catch (error) {
      await lab.destroy();
      throw error;
    }
    return lab;
  }

  /** A lab that exists already, made by this or another process. */
  static async open(name: string, log: (line: string) => void = () => undefined): Promise<Lab> {
    const state = readLab(name);
    if (state === undefined) {
      throw new TscError('E_LAB_NAME', `there is no lab "${name}"`);
    }
    const tools = underlayTools((await ensurePackages('bookworm', { log })).bin);
    const engines = new Map<EngineName, Engine>();
    for (const engine of new Set(state.machines.map((machine) => machine.engine))) {
      engines.set(engine, await ensureEngine(engine, { log }));
    }
    const lab = new Lab(state, engines, tools, log);
    for (const machine of state.machines) lab.#adopt(machine);
    return lab;
  }

  /** Removes what crashed runs left; labs in use are spared unless named. */
  static cleanLeftovers(name?: string): readonly string[] {
    return cleanLeftovers(name);
  }

  /** What labs hold in kernel and file system now; empty when all is clean. */
  static leftovers(name?: string): readonly Leftover[] {
    return leftovers(name);
  }

  get machines(): readonly Machine[] {
    return [...this.#machines.values()];
  }

  /** A machine by its name, `m1`, `m2`, … */
  machine(name: string): Machine {
    const machine = this.#machines.get(name);
    if (machine === undefined) {
      const names = [...this.#machines.keys()].join(', ');
      throw new TscError('E_LAB_MACHINE', `no machine "${name}" in lab "${this.name}": ${names}`);
    }
    return machine;
  }

  /** Adds one machine and boots it. */
  async addMachine(options: AddMachineOptions = {}): Promise<Machine> {
    const [machine] = await this.addMachines(1, options);
    if (machine === undefined) throw new TscError('E_LAB_MACHINE', 'no machine was added');
    return machine;
  }

  /** Adds machines and boots them side by side. */
  async addMachines(count: number, options: AddMachineOptions = {}): Promise<readonly Machine[]> {
    const engineName = options.engine ?? [...this.#engines.keys()][0] ?? '28.5';
    const engine =
      this.#engines.get(engineName) ?? (await ensureEngine(engineName, { log: this.#log }));
    const { machines } = updateLab(this.name, (state) => ({
      ...state,
      machines: [...state.machines, ...newMachines(state, count, engineName, options)],
    }));
    const added = machines.slice(machines.length - count).map((one) => this.#adopt(one, engine));
    const boot = options.withEngine === undefined ? {} : { withEngine: options.withEngine };
    await allOrThrow(added.map((machine) => machine.boot(boot)));
    return added;
  }

  /** Cuts both ways between every machine of one group and every machine of the other. */
  async partition(groupA: readonly string[], groupB: readonly string[]): Promise<void> {
    const pairs = groupA.flatMap((a) =>
      groupB.flatMap((b): [string, string][] => [
        [a, b],
        [b, a],
      ]),
    );
    await this.#cut(pairs);
  }

  /** Drops what `from` sends to `to`; the other way stays open. */
  async oneWay(from: string, to: string): Promise<void> {
    await this.#cut([[from, to]]);
  }

  /** Loses a share of a machine's frames, in each direction. */
  async loss(machine: string, percent: number): Promise<void> {
    this.machine(machine);
    if (!(percent >= 0 && percent <= 100)) {
      throw new TscError('E_LAB_USAGE', `${percent} is not a percentage`);
    }
    await this.#fault((state) => ({ ...state, losses: { ...state.losses, [machine]: percent } }));
  }

  /** Ends all cuts and losses. */
  async heal(): Promise<void> {
    await this.#fault((state) => ({ ...state, cuts: [], losses: {} }));
  }

  /** What the lab looks like now. */
  async status(): Promise<LabStatus> {
    const state = readLab(this.name);
    const machines = await Promise.all(
      (state?.machines ?? []).map(async (one): Promise<MachineStatus> => {
        const machine = this.machine(one.name);
        return {
          name: one.name,
          address: machine.address,
          engine: one.engine,
          isUp: machine.isUp,
          containerCount: machine.isUp ? await runningContainers(machine) : undefined,
          lossPercent: state?.losses[one.name] ?? 0,
        };
      }),
    );
    return { name: this.name, subnet: this.subnet, machines, cuts: state?.cuts ?? [] };
  }

  /** Removes the lab with all machines, disks and links. Safe to call twice. */
  async destroy(): Promise<void> {
    removeLab(this.name);
    forgetAtExit(this.name);
    this.#machines.clear();
    await Promise.resolve();
  }

  #adopt(state: MachineState, known?: Engine): Machine {
    const engine = known ?? this.#engines.get(state.engine);
    if (engine === undefined) throw new TscError('E_LAB_PACKAGES', `no engine ${state.engine}`);
    const machine = new Machine(this.name, state, { subnet: this.subnet, engine });
    this.#machines.set(state.name, machine);
    return machine;
  }

  async #cut(pairs: readonly (readonly [string, string])[]): Promise<void> {
    for (const name of new Set(pairs.flat())) this.machine(name);
    await this.#fault((state) => {
      const known = new Set(state.cuts.map((pair) => pair.join()));
      const fresh = pairs.filter((pair) => !known.has(pair.join()));
      return { ...state, cuts: [...state.cuts, ...fresh] };
    });
  }

  async #fault(change: (state: LabState) => LabState): Promise<void> {
    await applyFaults(updateLab(this.name, change), this.#tools);
  }
}

/** Why no lab can run here, or undefined when it can: for tests that skip with a printed reason. */
export async function labUnavailable(
  engine: EngineName = '28.5',
  log?: (line: string) => void,
): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'the lab needs Linux';
  if (process.getuid?.() !== 0) return 'the lab needs root';
  for (const tool of [
    '/usr/bin/nsenter',
    '/usr/bin/unshare',
    '/usr/bin/apt-get',
    '/usr/bin/dpkg-deb',
  ]) {
    if (!existsSync(tool)) return `the lab needs ${tool}`;
  }
  try {
    await ensureEngine(engine, log === undefined ? {} : { log });
    await ensurePackages('base', log === undefined ? {} : { log });
    return undefined;
  } catch (error) {
    if (error instanceof TscError) return error.message;
    throw error;
  }
}

/**
 * Containers that bring no resolver ask the bridge's gateway, where nobody listens, and so hear at
 * once that there is no answer. Docker's own choice is an address on the internet: 10 s of silence.
 */
const defaultDaemonConfig = { dns: ['172.17.0.1'] };

function newMachines(
  state: LabState,
  count: number,
  engine: EngineName,
  options: AddMachineOptions,
): readonly MachineState[] {
  const last = Math.max(0, ...state.machines.map(({ index }) => index));
  if (last + count > machineLimit) {
    throw new TscError('E_LAB_USAGE', `a lab has at most ${machineLimit} machines`);
  }
  return Array.from({ length: count }, (_, step) => ({
    name: `m${last + 1 + step}`,
    index: last + 1 + step,
    engine,
    daemonConfig: { ...defaultDaemonConfig, ...options.daemonConfig },
    init: null,
  }));
}

async function runningContainers(machine: Machine): Promise<number | undefined> {
  try {
    return (await machine.docker().listContainers()).length;
  } catch {
    // Shown as unknown: an engine that does not answer is a state that tests make on purpose.
    return undefined;
  }
}

/** Waits for all, also when one fails, so that nothing still works in the background then. */
async function allOrThrow(works: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(works);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
