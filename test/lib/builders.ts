/**
 * Builders for tests: a small world of records from which any machine's view can be made. Records
 * go through `buildView`, and changes through `acceptUp`, so tests see what the agent would see.
 */

import type { UpRequest } from '../../src/model/api.ts';
import type { ClusterId, MachineId } from '../../src/model/ids.ts';
import type { Project, Service } from '../../src/model/project.ts';
import {
  type CaddySites,
  type ContainerRecord,
  type Entry,
  type FailureRecord,
  type MachineOptionsRecord,
  type MachineRecord,
  type RecordReader,
  type ResolvedImage,
  recordKey,
} from '../../src/model/record.ts';
import type { Guard, Liveness, ServiceView } from '../../src/model/view.ts';
import {
  type AcceptedUp,
  acceptDown,
  acceptUp,
  type OperationWrite,
} from '../../src/plan/accept.ts';
import type { MachineFacts } from '../../src/plan/bind-pins.ts';
import { planVersion } from '../../src/plan/limits.ts';
import { type BuiltView, buildView } from '../../src/view/build-view.ts';
import { compareText } from '../../src/view/order.ts';

/** In tests a machine's id is its name with a prefix, so that failures can be read. */
export function machineId(name: string): MachineId {
  // The brand is what tests may forge.
  return `id-${name}` as MachineId;
}

const cluster = 'cluster' as ClusterId;

export class RecordMap implements RecordReader {
  readonly #entries = new Map<string, Entry>();

  set(entry: Entry): void {
    this.#entries.set(entry.key, entry);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  *entries(prefix: string): Iterable<Entry> {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix));
    for (const key of keys.sort(compareText)) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) yield entry;
    }
  }

  all(): readonly Entry[] {
    return [...this.#entries.values()];
  }
}

export function aMachineRecord(
  name: string,
  number: number,
  platform = 'linux/amd64',
): MachineRecord {
  const id = machineId(name);
  return {
    name,
    publicKey: `public-${name}`,
    wgPublicKey: Buffer.alloc(32, number).toString('base64'),
    endpoints: [`192.0.2.${number}:51820`],
    platform,
    cpuCount: 4,
    memoryBytes: 8 * 1024 ** 3,
    versions: { agent: '0.1.0', engine: '20.10.24', protocol: 1, plan: planVersion },
    admission: {
      cluster,
      machine: id,
      publicKey: `public-${name}`,
      wgPublicKey: Buffer.alloc(32, number).toString('base64'),
      subnet: `10.210.${number}.0/24`,
      range: '10.210.0.0/16',
      admittedBy: id,
      hlc: number,
      signature: 'signature',
    },
  };
}

export function aContainer(change: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    name: 'app-web-1',
    project: 'app',
    service: 'web',
    slot: '1',
    hash: 'hash',
    rollout: 'rollout',
    image: 'image',
    state: 'running',
    health: 'none',
    ready: true,
    draining: false,
    ip: '10.210.1.10',
    createdMs: 1_000,
    startedMs: 1_000,
    finishedMs: 0,
    exitCode: 0,
    restarts: 0,
    aliases: [],
    networks: {},
    ...change,
  };
}

export function aProject(
  services: Readonly<Record<string, Service>>,
  change: Omit<Partial<Project>, 'services'> = {},
): Project {
  const named = Object.entries(services).map(([name, spec]) => [
    name,
    { image: `${name}:1`, ...spec },
  ]);
  return { name: 'app', ...change, services: Object.fromEntries(named) };
}

export type MachineChange = MachineOptionsRecord & {
  readonly platform?: string;
  readonly subnet?: string;
};

/** A cluster as records; all machines share one map, as after gossip has settled. */
export class World {
  readonly records = new RecordMap();
  readonly liveness = new Map<MachineId, Liveness>();
  guards: readonly Guard[] = [];
  nowMs = 1_000_000;
  #hlc = 1_000;
  #ids = 0;
  #machines = 0;

  constructor(...names: readonly string[]) {
    for (const name of names) this.machine(name);
  }

  machine(name: string, { platform, subnet, ...options }: MachineChange = {}): this {
    this.#machines += 1;
    const id = machineId(name);
    const record = aMachineRecord(name, this.#machines, platform);
    const admission = { ...record.admission, ...(subnet === undefined ? {} : { subnet }) };
    this.write(recordKey.machine(id), id, { ...record, admission });
    if (Object.keys(options).length > 0) this.options(name, options);
    if (!this.liveness.has(id)) this.liveness.set(id, 'reachable');
    return this;
  }

  options(name: string, options: MachineOptionsRecord): this {
    const id = machineId(name);
    this.write(recordKey.machineOptions(id), id, options);
    return this;
  }

  is(name: string, liveness: Liveness): this {
    this.liveness.set(machineId(name), liveness);
    return this;
  }

  /** @returns the hlc of the record */
  write(key: string, origin: MachineId, value: unknown): number {
    this.#hlc += 1;
    this.records.set({ key, origin, hlc: this.#hlc, value });
    return this.#hlc;
  }

  container(machine: string, id: string, change: Partial<ContainerRecord> = {}): this {
    const owner = machineId(machine);
    this.write(recordKey.container(owner, id), owner, aContainer(change));
    return this;
  }

  failure(machine: string, service: ServiceView, change: Partial<FailureRecord> = {}): this {
    const owner = machineId(machine);
    this.write(recordKey.failure(owner, service.project, service.name), owner, {
      rollout: service.rollout,
      slot: '1',
      why: 'exited (1)',
      exitCode: 1,
      lastLines: [],
      atMs: this.nowMs,
      ...change,
    });
    return this;
  }

  view(self: string, nowMs = this.nowMs): BuiltView {
    const { records, liveness, guards } = this;
    return buildView(records, { self: machineId(self), cluster, nowMs, liveness, guards });
  }

  service(name: string, project = 'app'): ServiceView {
    const first = [...this.liveness.keys()][0] ?? machineId('a');
    const view = this.view(first.slice('id-'.length));
    const service = view.projects.get(project)?.services.get(name);
    if (service === undefined) throw new Error(`no service ${name} in project ${project}`);
    return service;
  }

  newId(): string {
    this.#ids += 1;
    return `r${this.#ids}`;
  }

  /** Accepts and writes an `up`. */
  up(self: string, project: Project, change: Partial<UpRequest> & UpFacts = {}): AcceptedUp {
    const accepted = this.accept(self, project, change);
    const { revision, pointer } = accepted;
    const id = machineId(self);
    this.write(recordKey.revision(project.name, revision.hash), id, revision.record);
    this.write(recordKey.pointer(project.name), id, pointer);
    this.operate(self, accepted.operationsToWrite);
    return accepted;
  }

  /** Accepts an `up` without writing it. */
  accept(self: string, project: Project, change: Partial<UpRequest> & UpFacts = {}): AcceptedUp {
    const { images, machines, caddy, ...request } = change;
    return acceptUp(this.view(self), anUpRequest(project, request), {
      self: machineId(self),
      nowMs: this.nowMs,
      images: images ?? {},
      ...(machines === undefined ? {} : { machines }),
      ...(caddy === undefined ? {} : { caddy }),
      newId: () => this.newId(),
    });
  }

  operate(self: string, writes: readonly OperationWrite[]): void {
    for (const { key, value } of writes) this.write(key, machineId(self), value);
  }

  down(self: string, project = 'app', volumes = false): void {
    const facts = { self: machineId(self), nowMs: this.nowMs };
    const { tombstone } = acceptDown(this.view(self), project, { volumes }, facts);
    if (tombstone !== undefined) this.write(recordKey.pointer(project), machineId(self), tombstone);
  }
}

export interface UpFacts {
  readonly images?: Readonly<Record<string, ResolvedImage>>;
  readonly machines?: ReadonlyMap<MachineId, MachineFacts>;
  readonly caddy?: Readonly<Record<string, CaddySites>>;
}

export function anUpRequest(project: Project, change: Partial<UpRequest> = {}): UpRequest {
  return {
    project,
    services: [],
    disabledServices: [],
    scale: {},
    removeOrphans: false,
    isDryRun: false,
    forceRecreate: false,
    contents: {},
    workingDir: '/home/me/app',
    composeFiles: ['/home/me/app/compose.yaml'],
    ...change,
  };
}
