/**
 * How long one machine takes to decide: owners of all slots, and the steps of this machine, from a
 * view that is there; and how long the view takes to build. For a cluster at rest, for one that has
 * just lost a machine, and for a tenth of the machines lost at once. Sizes grow fivefold and tenfold
 * so that the growth can be read. Taken is the thread's own time at work, the best of several runs:
 * a decision waits for nothing, and what else the machine does is none of its business. At rest here
 * no change has been judged yet, so that all of them are judged in each decision.
 */
import type { ClusterId, MachineId } from '../../src/model/ids.ts';
import { type ContainerRecord, recordKey } from '../../src/model/record.ts';
import type { Liveness, View } from '../../src/model/view.ts';
import { acceptRebalance } from '../../src/plan/accept-machines.ts';
import { plan } from '../../src/plan/plan.ts';
import { idleLocalState } from '../../src/plan/steps.ts';
import { buildView } from '../../src/view/build-view.ts';
import { aContainer, aMachineRecord, anUpRequest, machineId, RecordMap } from '../lib/builders.ts';
import { type Bench, type Figure, figure } from './figure.ts';

interface Size {
  readonly machineCount: number;
  readonly containerCount: number;
  readonly goalMs?: number;
}

const sizes: readonly Size[] = [
  { machineCount: 20, containerCount: 400 },
  { machineCount: 100, containerCount: 2_000, goalMs: 50 },
  { machineCount: 200, containerCount: 4_000 },
  { machineCount: 1_000, containerCount: 20_000, goalMs: 1_000 },
];

/** 10 replicas of each of 5 services in a project. */
const replicaCount = 10;
const serviceCount = 5;
const runCount = 7;
const leastMs = 100;

export const bench: Bench = async (progress) => {
  const figures: Figure[] = [];
  for (const size of sizes) {
    const name = `${size.machineCount} machines x ${size.containerCount}`;
    progress(`${name}: making the records`);
    const records = worldOf(size);
    const liveness = new Map<MachineId, Liveness>();
    for (let n = 0; n < size.machineCount; n += 1) liveness.set(idOf(n), 'reachable');
    const build = (): View => viewOf(records, liveness, idOf(0));
    const goal = size.goalMs === undefined ? {} : { goal: size.goalMs };
    figures.push(figure(`${name}, view`, bestMs(build), 'ms'));
    const rest = build();
    figures.push(
      figure(
        `${name}, at rest`,
        bestMs(() => decide(rest)),
        'ms',
        goal,
      ),
    );
    const one = viewOf(records, withLost(liveness, 1), idOf(0));
    figures.push(
      figure(
        `${name}, 1 lost`,
        bestMs(() => decide(one)),
        'ms',
        goal,
      ),
    );
    const tenthCount = Math.floor(size.machineCount / 10);
    const tenth = viewOf(records, withLost(liveness, tenthCount), idOf(0));
    figures.push(
      figure(
        `${name}, ${tenthCount} lost`,
        bestMs(() => decide(tenth)),
        'ms',
        goal,
      ),
    );
    const even = bestMs(() => acceptRebalance(asNew(rest), []));
    figures.push(figure(`${name}, rebalance`, even, 'ms'));
  }
  return figures;
};

function decide(view: View): void {
  plan(asNew(view), idleLocalState);
}

/** Each decision has a view of its own: what is derived once for a view is part of the work. */
function asNew(view: View): View {
  return {
    ...view,
    machines: new Map(view.machines),
    containers: [...view.containers],
    failures: [...view.failures],
  };
}

/** A thread's time may be counted in ticks of 10 ms, so what is short is done until it is not. */
function bestMs(work: () => unknown): number {
  const took = Array.from({ length: runCount }, () => {
    const before = process.threadCpuUsage();
    for (let count = 1; ; count += 1) {
      work();
      const { user, system } = process.threadCpuUsage(before);
      const spentMs = (user + system) / 1_000;
      if (spentMs >= leastMs) return spentMs / count;
    }
  });
  return Math.min(...took);
}

function viewOf(
  records: RecordMap,
  liveness: ReadonlyMap<MachineId, Liveness>,
  self: MachineId,
): View {
  const cluster = 'cluster' as ClusterId;
  return buildView(records, { self, cluster, nowMs: 1_000_000, liveness, guards: [] });
}

/** The last ones, as this machine is the first. */
function withLost(
  liveness: ReadonlyMap<MachineId, Liveness>,
  count: number,
): ReadonlyMap<MachineId, Liveness> {
  const entries = [...liveness];
  return new Map(
    entries.map(([id, state], n) => [id, n >= entries.length - count ? 'lost' : state]),
  );
}

function idOf(number: number): MachineId {
  return machineId(nameOf(number));
}

function nameOf(number: number): string {
  return `m${String(number).padStart(4, '0')}`;
}

/** Records of a cluster in which every slot has its container, spread evenly. */
function worldOf({ machineCount, containerCount }: Size): RecordMap {
  const records = new RecordMap();
  let hlc = 1;
  const write = (key: string, origin: MachineId, value: unknown): void => {
    hlc += 1;
    records.set({ key, origin, hlc, value });
  };
  for (let n = 0; n < machineCount; n += 1) {
    const record = aMachineRecord(nameOf(n), n % 256);
    const subnet = `10.${n >> 8}.${n & 255}.0/24`;
    const admission = { ...record.admission, subnet, machine: idOf(n) };
    write(recordKey.machine(idOf(n)), idOf(n), { ...record, admission });
  }
  const perProject = replicaCount * serviceCount;
  let next = 0;
  for (let p = 0; p < containerCount / perProject; p += 1) {
    const project = `p${String(p).padStart(4, '0')}`;
    const names = Array.from({ length: serviceCount }, (_, n) => `s${n}`);
    const deploy = {
      replicas: replicaCount,
      placement: { constraints: ['node.platform.os == linux'] },
      resources: { reservations: { cpus: 0.01, memory: '16m' } },
    };
    const request = anUpRequest({
      name: project,
      services: Object.fromEntries(names.map((name) => [name, { image: 'web:1', deploy }])),
    });
    const hashes = Object.fromEntries(names.map((name) => [name, 'hash']));
    write(recordKey.revision(project, 'r'), idOf(0), {
      project: request.project,
      hashes,
      images: {},
      contents: {},
      workingDir: request.workingDir,
      composeFiles: request.composeFiles,
    });
    const services: Record<string, unknown> = {};
    for (const name of names) {
      const slots: Record<string, MachineId> = {};
      for (let slot = 1; slot <= replicaCount; slot += 1) {
        const machine = idOf(next % machineCount);
        next += 1;
        slots[slot] = machine;
        write(recordKey.container(machine, `c${next}`), machine, {
          ...aContainer(),
          name: `${project}-${name}-${slot}`,
          project,
          service: name,
          slot: `${slot}`,
        } satisfies ContainerRecord);
      }
      services[name] = { revision: 'r', hash: 'hash', rollout: 'rollout', slots };
    }
    write(recordKey.pointer(project), idOf(0), {
      services,
      createdMs: 1,
      parent: null,
      author: { machine: idOf(0) },
      volumes: {},
      orphans: [],
    });
  }
  return records;
}
