/**
 * A run: form a cluster, let things go wrong for some minutes while everybody works, heal, and
 * see whether all agree within the promised time.
 */
import { SimCluster, Violation } from './cluster.ts';
import { faults, work } from './faults.ts';

export interface ScenarioOptions {
  readonly seed: number;
  readonly machineCount: number;
  readonly minutes: number;
  readonly log?: (line: string) => void;
}

/** 5 s: after the last cut, dial back-off (2.5 s) and a dial under way (2 s) are the most. */
export const agreeWithinMs = 5000;

/**
 * @throws Violation with what was wrong
 */
export function runScenario({ seed, machineCount, minutes, log }: ScenarioOptions): SimCluster {
  const cluster = new SimCluster(seed);
  const { world, network } = cluster;
  cluster.form(machineCount);
  world.runUntil(3000);
  // A cluster that never came together proves nothing.
  const early = cluster.disagreements();
  if (early.length > 0) throw new Violation(`never formed: ${early.join('; ')}`);
  const endMs = 3000 + minutes * 60_000;
  const names = Object.keys(faults);
  const isHostile = (name: string): boolean => name === 'hostileFrame' || name === 'forgedRecord';
  const breakSomething = (): void => {
    const name = world.pick(names) ?? '';
    // Bans last 10 s; none may outlast the healing.
    if (!isHostile(name) || world.nowMs < endMs - 15_000) {
      const what = faults[name]?.(cluster);
      log?.(`${Math.round(world.nowMs)} ms: ${what}`);
    }
    const nextMs = world.between(500, 8000);
    if (world.nowMs + nextMs < endMs) world.after(nextMs, breakSomething);
  };
  const keepWorking = (): void => {
    work(cluster);
    if (world.nowMs < endMs) world.after(world.between(10, 800), keepWorking);
  };
  world.after(100, breakSomething);
  world.after(10, keepWorking);
  changeMembers(cluster, endMs, log);
  world.runUntil(endMs);
  heal(cluster);
  log?.(`${Math.round(world.nowMs)} ms: healed`);
  const healedMs = world.nowMs;
  let wrong: string[] = [];
  while (world.nowMs < healedMs + agreeWithinMs + stragglerMs(cluster)) {
    world.runUntil(world.nowMs + 100);
    wrong = cluster.disagreements();
    if (wrong.length === 0) break;
  }
  log?.(`${Math.round(world.nowMs - healedMs)} ms after healing: ${wrong.length} disagreements`);
  if (wrong.length > 0) throw new Violation(wrong.join('; '));
  network.loss = 0;
  return cluster;
}

/** Boot and stale guards have their own time; nothing else needs more. */
function stragglerMs(cluster: SimCluster): number {
  const isGuarded = cluster.members().some(({ node }) => (node?.guards().length ?? 0) > 0);
  return isGuarded ? 5000 : 0;
}

/** One in three runs admits a machine, one in four removes one. */
function changeMembers(
  cluster: SimCluster,
  endMs: number,
  log: ((line: string) => void) | undefined,
): void {
  const { world } = cluster;
  const running = (): ReturnType<SimCluster['members']> =>
    cluster.members().filter((machine) => machine.isRunning && !machine.isPaused);
  if (world.random() < 0.33) {
    world.at(world.between(3000, endMs - 5000), () => {
      const member = world.pick(running());
      if (member === undefined) return;
      const joiner = cluster.add();
      cluster.join(joiner, member);
      log?.(`${Math.round(world.nowMs)} ms: ${joiner.name} joins at ${member.name}`);
    });
  }
  if (world.random() < 0.25 && cluster.machines.length > 2) {
    world.at(world.between(3000, endMs - 5000), () => {
      const [by, target] = [world.pick(running()), world.pick(running())];
      if (by === undefined || target === undefined || by === target) return;
      cluster.remove(by, target);
      log?.(`${Math.round(world.nowMs)} ms: ${by.name} removes ${target.name}`);
    });
  }
}

function heal(cluster: SimCluster): void {
  cluster.network.healAll();
  cluster.network.loss = 0;
  for (const machine of cluster.machines) {
    machine.resume();
    machine.start();
  }
  cluster.network.release();
}
