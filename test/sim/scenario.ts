/**
 * A run: form a cluster, let things go wrong for some minutes while everybody works, heal, and
 * see whether all agree within the promised time.
 */
import { failureRetryMs } from '../../src/plan/limits.ts';
import { SimCluster } from './cluster.ts';
import { missingReplicas, retryMs, wrongContainers } from './containers.ts';
import { cloneMachine, faults, readAtFullSpeed } from './faults.ts';
import { leftovers } from './invariants.ts';
import type { SimMachine } from './machine.ts';
import { Violation } from './violation.ts';
import { bringUp, work } from './work.ts';

export interface ScenarioOptions {
  readonly seed: number;
  readonly machineCount: number;
  readonly minutes: number;
  readonly log?: (line: string) => void;
}

/** 5 s: after the last cut, dial back-off (2.5 s) and a dial under way (2 s) are the most. */
export const agreeWithinMs = 5000;
/** 30 s after healing every wanted replica is back, wherever, and of whatever definition. */
const replicasWithinMs = 30_000;
/** 60 s more until every slot runs once: turns, drains, and 5 s that the kept copy must serve. */
const containersWithinMs = 60_000;
/** From time to time everything is looked at. */
const lookMs = 2000;
const formMs = 3000;
/** 5 to 35 s: often enough that many changes meet an earlier one half-way, and some do not. */
const changeMs = [5000, 35_000] as const;

/** One run in three has a copied machine. */
const clonedRuns = 3;

type Log = (line: string) => void;

/**
 * @returns the healed cluster
 * @throws Violation with what was wrong
 */
export function runScenario({ seed, machineCount, minutes, log }: ScenarioOptions): SimCluster {
  const cluster = new SimCluster(seed, { hasAgents: true });
  const { world } = cluster;
  const say: Log = (line) => log?.(`${Math.round(world.nowMs)} ms: ${line}`);
  cluster.form(machineCount);
  randomise(cluster);
  world.runUntil(formMs);
  // A cluster that never came together proves nothing.
  const early = cluster.disagreements();
  if (early.length > 0) throw new Violation(`never formed: ${early.join('; ')}`);
  say(bringUp(cluster));
  const endMs = formMs + minutes * 60_000;
  // In half of the runs with a copy nothing else goes wrong beside it: then it must be found out.
  const isAlone = (): boolean => seed % (2 * clonedRuns) === 2 && cluster.clones().length > 0;
  breakThings(cluster, endMs, isAlone, say);
  changeMembers(cluster, endMs, say);
  // By the seed's number and not by chance: the runs without are what they were.
  if (seed % clonedRuns === 2) {
    const latestMs = Math.max(formMs, endMs - 40_000);
    world.at(world.between(formMs, latestMs), () => say(cloneMachine(cluster)));
  }
  const keepWorking = (): void => {
    work(cluster);
    if (world.nowMs < endMs) world.after(world.between(10, 800), keepWorking);
  };
  world.after(10, keepWorking);
  const keepChanging = (): void => {
    say(bringUp(cluster));
    const nextMs = world.between(...changeMs);
    if (world.nowMs + nextMs < endMs) world.after(nextMs, keepChanging);
  };
  world.after(world.between(...changeMs), keepChanging);
  while (world.nowMs < endMs) {
    world.runUntil(Math.min(endMs, world.nowMs + lookMs));
    cluster.watch.look();
  }
  heal(cluster);
  say('healed');
  settle(cluster, agreeWithinMs, () => cluster.disagreements(), say);
  // The plan waits by wall clocks: what was dated ahead by an hour may hold it up for an hour.
  if (!cluster.hadWrongClock) {
    settle(cluster, replicasWithinMs - (world.nowMs - endMs), () => missingReplicas(cluster), say);
    settle(cluster, containersWithinMs, () => wrongContainers(cluster), say);
  }
  // What is only observed reaches the disk within a second.
  world.runUntil(world.nowMs + 1500);
  const wrong = leftovers(cluster);
  if (wrong.length > 0) throw new Violation(`in the end: ${wrong.join('; ')}`);
  return cluster;
}

/** Runs until a look shows nothing wrong any more. */
function settle(cluster: SimCluster, withinMs: number, look: () => string[], say: Log): void {
  const { world } = cluster;
  const startMs = world.nowMs;
  let limitMs = withinMs;
  let wrong = look();
  while (wrong.length > 0) {
    // A machine that has just been woken notices it with its next tick.
    limitMs = Math.max(limitMs, withinMs + stragglerMs(cluster));
    // What could not be brought up while things were wrong is tried again after a minute.
    const restMs = retryMs(cluster, failureRetryMs);
    if (restMs > 0) limitMs = Math.max(limitMs, world.nowMs - startMs + restMs + withinMs);
    if (world.nowMs - startMs >= limitMs) {
      throw new Violation(`${limitMs} ms after healing: ${wrong.join('; ')}`);
    }
    world.runUntil(world.nowMs + 100);
    wrong = look();
  }
  say(`nothing wrong after ${Math.round(world.nowMs - startMs)} ms`);
}

/** Some clusters are wide, and no two machines are quite alike: clocks drift, timers are late, some are of a later version. */
function randomise({ world, machines, network }: SimCluster): void {
  network.latencyMs = world.random() < 0.3 ? [20, 80] : [0.3, 1.5];
  for (const machine of machines) {
    machine.clockDrift = world.between(-2e-4, 2e-4);
    machine.timerFactor = world.between(1, 1.2);
    machine.isNewer = world.random() < 0.3;
  }
}

function breakThings(cluster: SimCluster, endMs: number, rests: () => boolean, say: Log): void {
  const { world } = cluster;
  const names = Object.keys(faults);
  const isHostile = (name: string): boolean => name === 'hostileFrame' || name === 'forgedRecord';
  const breakSomething = (): void => {
    const name = world.pick(names) ?? '';
    // Bans last 10 s; none may outlast the healing.
    const mayBe = !isHostile(name) || world.nowMs < endMs - 15_000;
    if (mayBe && !rests()) say(faults[name]?.(cluster) ?? '');
    const nextMs = world.between(500, 8000);
    if (world.nowMs + nextMs < endMs) world.after(nextMs, breakSomething);
  };
  world.after(100, breakSomething);
}

/** Boot and stale guards have their own time; nothing else needs more. */
function stragglerMs(cluster: SimCluster): number {
  const isGuarded = cluster.members().some(({ node }) => (node?.guards().length ?? 0) > 0);
  return isGuarded ? 5000 : 0;
}

/** A run in two admits a machine, one in three removes one: often the one that admitted the rest. */
function changeMembers(cluster: SimCluster, endMs: number, say: Log): void {
  const { world } = cluster;
  const running = (): SimMachine[] =>
    cluster
      .members()
      .filter((machine) => machine.isRunning && !machine.isPaused && !machine.isAsleep);
  const someTime = (): number => world.between(formMs, endMs - 5000);
  for (let count = 0; count < 2 && world.random() < 0.5; count++) {
    world.at(someTime(), () => {
      const member = world.pick(running());
      if (member === undefined) return;
      const joiner = cluster.add();
      cluster.join(joiner, member);
      say(`${joiner.name} joins at ${member.name}`);
    });
  }
  if (world.random() >= 0.33 || cluster.machines.length < 3) return;
  world.at(someTime(), () => {
    const [first] = cluster.machines;
    const target = world.random() < 0.5 ? first : world.pick(running());
    const by = world.pick(running().filter((machine) => machine !== target));
    if (by === undefined || target === undefined || !running().includes(target)) return;
    cluster.remove(by, target);
    say(`${by.name} removes ${target.name}`);
  });
}

/** Ends all faults. Clocks that were set wrong are set right, as their operators would. */
function heal(cluster: SimCluster): void {
  const { network } = cluster;
  cluster.isHealed = true;
  network.healAll();
  network.loss = 0;
  network.latencyMs = [0.3, 1.5];
  for (const clone of cluster.clones()) cluster.endClone(clone);
  for (const machine of cluster.machines) {
    machine.wake();
    readAtFullSpeed(cluster, machine);
    machine.clockOffsetMs = 0;
    machine.disk.flushMs = 2;
    machine.engine.heal();
    machine.resume();
    machine.start();
  }
  network.release();
}
