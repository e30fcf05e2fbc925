/**
 * Chaos: rounds of random faults and changes on a real cluster, each followed by a rest in which
 * everything must come back exactly. What may never happen is looked for all the time. The seed
 * gives the faults and their times; what they meet is as real as the machine is busy.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { label } from '../../src/model/names.ts';
import { Random } from '../fuzz/random.ts';
import { differences, type Running, violationsAt } from './checks.ts';
import { drawFaults, type Fault } from './faults.ts';
import { History } from './history.ts';
import { Report } from './report.ts';
import { Watchers } from './watchers.ts';
import { project, replicaCounts, versionLabel, Workload } from './workload.ts';
import { World, waitFor } from './world.ts';

/** 1 s between two looks at all engines. */
const lookMs = 1_000;
/** 2 s: an engine that hangs or is gone is left out of a look. */
const listTimeoutMs = 2_000;
/** A fault lasts 10 s to 35 s: long enough to be noticed, and for replicas to be placed anew. */
const leastFaultMs = 10_000;
const faultSpreadMs = 25_000;
/** Faults of a round begin within 6 s. */
const beginSpreadMs = 6_000;
/** 45 s after a change: surplus copies of parts that were cut off from each other have gone. */
const mergeMs = 45_000;
/** 10 min: what has not come back by then will not. */
const giveUpMs = 600_000;

export interface ChaosOptions {
  readonly minutes: number;
  readonly machines: number;
  readonly seed: number;
  /** How long everything may take to be as wanted after the faults of a round have ended. */
  readonly settleLimitMs: number;
  readonly progress: (line: string) => void;
}

/** Runs chaos for some minutes; what was wrong is in the report. */
export async function runChaos(options: ChaosOptions): Promise<Report> {
  const endMs = Date.now() + options.minutes * 60_000;
  const report = new Report(options);
  const world = await World.create(options.machines, options.progress);
  try {
    const run = new ChaosRun(world, options, report);
    await run.begin();
    // A round that could not end in time is not begun; there is always one.
    do await run.round();
    while (Date.now() + leastFaultMs + faultSpreadMs < endMs && !report.isStuck);
    await run.end();
    if (report.violations.length > 0) report.logs = world.agentLogs();
    return report;
  } finally {
    await world.destroy();
  }
}

class ChaosRun {
  readonly #world: World;
  readonly #options: ChaosOptions;
  readonly #report: Report;
  readonly #random: Random;
  readonly #workload: Workload;
  readonly #history = new History();
  readonly #watchers: Watchers;
  readonly #looking: Promise<void>;
  /** When the cluster was in how many parts. */
  readonly #parts: { readonly atMs: number; readonly count: number }[] = [];
  #isOver = false;
  #roundCount = 0;

  constructor(world: World, options: ChaosOptions, report: Report) {
    this.#world = world;
    this.#options = options;
    this.#report = report;
    this.#random = new Random(options.seed);
    this.#workload = new Workload(world);
    this.#watchers = new Watchers(world);
    this.#note();
    this.#looking = this.#look();
  }

  /** The app is up before anything breaks. */
  async begin(): Promise<void> {
    const first = await this.#workload.up(this.#world.names[0] ?? '', 4);
    if (!first.isAcknowledged) throw new Error(`the first up failed: ${first.said}`);
    await this.#rest();
  }

  async round(): Promise<void> {
    this.#roundCount += 1;
    const faults = drawFaults(this.#world, this.#random);
    const works = [
      ...faults.map((fault) => this.#inflict(fault)),
      ...Array.from({ length: 1 + this.#random.below(2) }, () => this.#change()),
    ];
    await Promise.all(works);
    await this.#rest();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#looking;
    for (const answer of await this.#watchers.stop()) {
      if (!this.#history.isJudged(answer)) continue;
      const { kind, machine, startedMs, problem } = answer;
      const what = problem === undefined ? [] : [`${kind} at ${machine}: ${problem}`];
      this.#report.checked(`every ${kind} is answered where nothing is broken`, startedMs, what);
    }
    for (const one of this.#workload.attempts) this.#report.changed(one.isAcknowledged);
  }

  async #inflict(fault: Fault): Promise<void> {
    const beginMs = this.#random.below(beginSpreadMs);
    const lastMs = leastFaultMs + this.#random.below(faultSpreadMs);
    await sleep(beginMs);
    this.#say(`${fault.name}: ${fault.target}, for ${(lastMs / 1000).toFixed(0)} s`);
    this.#report.inflicted(fault.name);
    await fault.begin();
    this.#note();
    await sleep(lastMs);
    await fault.end();
    this.#note();
    this.#say(`${fault.name}: over`);
  }

  /** An `up` at some moment of the round, on a machine that is whole then. */
  async #change(): Promise<void> {
    const replicas = this.#random.pick(replicaCounts) ?? 3;
    const choice = this.#random.next();
    await sleep(this.#random.below(beginSpreadMs + leastFaultMs + faultSpreadMs));
    const whole = this.#world.conditions.filter((one) => this.#world.isWhole(one));
    const machine = whole[Math.floor(choice * whole.length)]?.machine.name;
    if (machine === undefined) return;
    const attempt = await this.#workload.up(machine, replicas);
    const { version, isAcknowledged, said, startedMs, endedMs } = attempt;
    const outcome = isAcknowledged ? 'acknowledged' : `refused: ${said.split('\n').at(-1)}`;
    this.#say(`up ${version} of ${replicas} on ${machine}: ${outcome} (${endedMs - startedMs} ms)`);
    this.#report.changeTook(endedMs - startedMs);
  }

  /** All faults end; then everything must be as one definition says, within the limit. */
  async #rest(): Promise<void> {
    await this.#world.healAll();
    this.#note();
    const startMs = Date.now();
    let wrong: readonly string[] = [];
    const isExact = async (): Promise<boolean> => {
      wrong = await this.#wrong();
      return wrong.length === 0;
    };
    const { settleLimitMs } = this.#options;
    const tookMs = await waitFor(isExact, settleLimitMs);
    const late = tookMs === undefined ? wrong.slice(0, 5) : [];
    this.#report.checked('everything is as wanted in time after healing', startMs, late);
    const allMs = tookMs ?? (await waitFor(isExact, giveUpMs));
    if (allMs === undefined) {
      this.#report.isStuck = true;
      this.#say(`stuck: ${wrong.join('; ')}`);
      return;
    }
    const restMs = tookMs ?? settleLimitMs + allMs;
    this.#report.rested(restMs);
    this.#say(`round ${this.#roundCount}: all is as wanted after ${(restMs / 1000).toFixed(1)} s`);
    await this.#checkLosers(startMs);
    await this.#watchers.watchLookups();
  }

  async #wrong(): Promise<readonly string[]> {
    const running = await this.#running();
    const versions = new Map(this.#workload.possible().map((one) => [one.version, one.replicas]));
    const { names } = this.#world;
    const wrong = [...differences(running, { machines: names, versions: stringKeys(versions) })];
    if (wrong.length > 0) return wrong;
    const snapshots = await Promise.all(names.map((name) => this.#world.snapshot(name)));
    const pointers = new Set<number | undefined>();
    for (const [index, snapshot] of snapshots.entries()) {
      const unseen = snapshot?.machines.filter(({ liveness }) => liveness !== 'reachable').length;
      if (unseen !== 0) wrong.push(`${names[index]} does not see all machines`);
      if (snapshot?.machines.some(({ isAble }) => !isAble)) wrong.push('a machine is not able');
      pointers.add(snapshot?.projects.find(({ name }) => name === project)?.pointerHlc);
    }
    if (pointers.size > 1) wrong.push('agents disagree about the definition');
    return wrong;
  }

  /** Who made a change on the other side of a cut from the one that won, is told. */
  async #checkLosers(healedMs: number): Promise<void> {
    const running = await this.#running();
    const version = running.find(({ service }) => service === 'web')?.version;
    const { attempts } = this.#workload;
    const winner = attempts.find((one) => `${one.version}` === version);
    if (winner?.side === undefined) return;
    const losers = attempts.filter(
      (one) =>
        one.isAcknowledged &&
        one.side !== undefined &&
        one.side !== winner.side &&
        winner.side?.every((name) => !one.side?.includes(name)) &&
        Math.abs(one.startedMs - winner.startedMs) < leastFaultMs + faultSpreadMs &&
        one.startedMs < healedMs,
    );
    if (losers.length === 0) return;
    const snapshot = await this.#world.snapshot(this.#world.names[0] ?? '');
    const told = snapshot?.projects.find(({ name }) => name === project)?.conflicts ?? [];
    const untold = told.length > 0 ? [] : [`up ${losers.at(-1)?.version} was overruled in silence`];
    this.#report.checked('whoever is overruled is told', healedMs, untold);
  }

  /** Looks at all engines again and again, for what may never be. */
  async #look(): Promise<void> {
    while (!this.#isOver) {
      await sleep(lookMs);
      if (this.#workload.attempts.length === 0) continue;
      const atMs = Date.now();
      const running = await this.#running();
      const recently = this.#parts.filter(
        (one, index) =>
          (this.#parts[index + 1]?.atMs ?? atMs) >= atMs - mergeMs && one.atMs <= atMs,
      );
      const wrong = violationsAt({
        running,
        components: this.#components(),
        partCount: Math.max(1, ...recently.map(({ count }) => count)),
        wantedCount: this.#workload.mostReplicas(atMs - mergeMs),
      });
      this.#report.checked('never too many replicas, never two of the data', atMs, wrong);
      if (wrong.length > 0) this.#say(`VIOLATION ${wrong.join('; ')}`);
    }
  }

  async #running(): Promise<readonly Running[]> {
    const lists = await Promise.all(
      this.#world.conditions.map(async ({ machine, isEngineUp, isEngineHung }) => {
        if (!machine.isUp || !isEngineUp || isEngineHung) return [];
        const filters = JSON.stringify({ label: [`${label.project}=${project}`] });
        const abortSignal = AbortSignal.timeout(listTimeoutMs);
        const list = await machine
          .docker()
          .listContainers({ filters, abortSignal })
          .catch(() => []);
        return list.map(({ Id, Labels }) => ({
          machine: machine.name,
          id: Id,
          service: Labels[label.service] ?? '',
          slot: Labels[label.slot] ?? '',
          version: Labels[versionLabel] ?? '',
        }));
      }),
    );
    return lists.flat();
  }

  /** Groups of machines that can reach each other and act. */
  #components(): readonly (readonly string[])[] {
    const { groups } = this.#world;
    return groups.map((names) => names.filter((name) => this.#world.isWhole(this.#world.of(name))));
  }

  /** A machine that cannot act, or a bad line, may be a part of its own to the others. */
  #note(): void {
    this.#history.note(this.#world);
    const apart = this.#world.conditions.filter((one) => !this.#world.isWhole(one)).length;
    const bad = this.#world.isLineBad ? 1 : 0;
    this.#parts.push({ atMs: Date.now(), count: this.#world.groups.length + apart + bad });
  }

  #say(line: string): void {
    const atS = ((Date.now() - this.#report.startedMs) / 1000).toFixed(0);
    this.#options.progress(`${atS.padStart(4)} s  ${line}`);
  }
}

function stringKeys(map: ReadonlyMap<number, number>): ReadonlyMap<string, number> {
  return new Map([...map].map(([key, value]) => [`${key}`, value]));
}
