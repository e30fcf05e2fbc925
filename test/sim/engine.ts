/**
 * A container engine made of a map. Containers outlive the agent and the record file, end with the
 * power, and take a moment to come and go. What a container does is said by its image (behaviour.ts):
 * it may end by itself, at once or after a while, and its health check may pass late or never. The
 * engine itself may be slow, hang, fail to pull, or keep its events to itself.
 *
 * It has no timers: what is due is done whenever anybody looks, and `nextDueMs` says when somebody
 * should. Time is the machine's monotonic clock; only what is shown is dated by the wall.
 */
import type { ContainerState, HealthState } from '../../src/model/record.ts';
import { type Behaviour, behaviourOf } from './behaviour.ts';
import type { Work } from './fiber.ts';

/** How long the engine takes when nothing is wrong with it. */
const createMs = 100;
const startMs = 200;
const removeMs = 100;
const pullMs = 400;
/** What a program needs to end when it is asked to. */
const endMs = 50;
/** An engine that hangs is asked again so often, and given up after as long as the agent waits. */
const askAgainMs = 250;
const callMs = 30_000;

/** The engine did not answer: says nothing about containers. */
export class EngineAway extends Error {
  override readonly name = 'EngineAway';
}

/** The engine answered with an error. */
export class EngineRefusal extends Error {
  override readonly name = 'EngineRefusal';
}

export interface EngineClock {
  /** Wall clock. */
  now(): number;
  monotonic(): number;
  random(): number;
}

/** What a container is made of. */
export interface SimContainerBody {
  readonly project: string;
  readonly service: string;
  readonly slot: string;
  readonly hash: string;
  readonly rollout: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly hasHealthcheck: boolean;
  /** Engine names of its named volumes. */
  readonly volumes: readonly string[];
  /** The run of a pre-deploy hook. */
  readonly hook?: string;
}

export interface SimContainer extends SimContainerBody {
  readonly id: string;
  name: string;
  state: Extract<ContainerState, 'created' | 'running' | 'exited'>;
  health: HealthState;
  exitCode: number;
  readonly createdMs: number;
  /** 0: never. */
  startedMs: number;
  finishedMs: number;
}

/** A volume, and the change of its project for which it was made. */
export interface SimVolume {
  readonly change: string;
  /** Changes that this one knew of. */
  readonly ancestors: readonly string[];
}

export interface EngineTrouble {
  /** Everything takes so many times as long. */
  slowness: number;
  isHung: boolean;
  failsPulls: boolean;
  losesEvents: boolean;
}

const noTrouble: EngineTrouble = {
  slowness: 1,
  isHung: false,
  failsPulls: false,
  losesEvents: false,
};

interface Due {
  readonly atMs: number;
  readonly act: (container: SimContainer) => void;
}

export class SimEngine {
  readonly #clock: EngineClock;
  readonly containers = new Map<string, SimContainer>();
  readonly images = new Set<string>();
  readonly volumes = new Map<string, SimVolume>();
  readonly trouble: EngineTrouble = { ...noTrouble };
  /** World time at which anything was wrong with it last, as far as it has ended. */
  troubledMs = Number.NEGATIVE_INFINITY;
  /** By run: how often the container of a pre-deploy hook was started here. */
  readonly hookStarts = new Map<string, number>();
  /** Counts connections of the event stream: a new one means that events may have been missed. */
  connection = 0;
  /** Who follows the events; nobody while no agent runs. */
  onEvent: ((containerId: string) => void) | undefined;
  readonly #due = new Map<string, Due>();
  #count = 0;

  constructor(clock: EngineClock) {
    this.#clock = clock;
  }

  /** Ends all that is wrong with it; who followed its events connects anew. */
  heal(): void {
    Object.assign(this.trouble, noTrouble);
    this.connection++;
  }

  get isTroubled(): boolean {
    const { slowness, isHung, failsPulls, losesEvents } = this.trouble;
    return slowness > 1 || isHung || failsPulls || losesEvents;
  }

  // What containers do by themselves

  /** When the next container does something by itself; undefined when none will. */
  nextDueMs(): number | undefined {
    let nextMs: number | undefined;
    for (const { atMs } of this.#due.values()) nextMs = Math.min(nextMs ?? atMs, atMs);
    return nextMs;
  }

  /** Does what is due. */
  settle(): void {
    if (this.#due.size === 0) return;
    const nowMs = this.#clock.monotonic();
    for (const [id, { atMs, act }] of this.#due) {
      if (atMs > nowMs) continue;
      this.#due.delete(id);
      const container = this.containers.get(id);
      if (container === undefined) continue;
      act(container);
      this.#tell(id);
    }
  }

  #tell(id: string): void {
    if (!this.trouble.losesEvents && !this.trouble.isHung) this.onEvent?.(id);
  }

  #plan(container: SimContainer): void {
    this.#due.delete(container.id);
    const { exit, health }: Behaviour = behaviourOf(container);
    const nowMs = this.#clock.monotonic();
    if (exit !== undefined) {
      const act = (one: SimContainer): void => this.#end(one, exit.code);
      this.#due.set(container.id, { atMs: nowMs + exit.afterMs, act });
    } else if (health !== undefined) {
      const act = (one: SimContainer): void => {
        one.health = health.becomes;
      };
      this.#due.set(container.id, { atMs: nowMs + health.afterMs, act });
    }
  }

  #end(container: SimContainer, exitCode: number): void {
    this.#due.delete(container.id);
    if (container.state !== 'running') return;
    container.state = 'exited';
    container.exitCode = exitCode;
    container.finishedMs = this.#clock.now();
  }

  /** As it is on the copy of a machine's disk. */
  copy(clock: EngineClock): SimEngine {
    const engine = new SimEngine(clock);
    for (const [id, container] of this.containers) engine.containers.set(id, { ...container });
    for (const image of this.images) engine.images.add(image);
    for (const [name, volume] of this.volumes) engine.volumes.set(name, volume);
    engine.#count = this.#count;
    return engine;
  }

  /** All containers end. */
  cutPower(nowMs: number): void {
    this.#due.clear();
    this.onEvent = undefined;
    for (const container of this.containers.values()) {
      if (container.state !== 'running') continue;
      container.state = 'exited';
      container.exitCode = 255;
      container.finishedMs = nowMs;
    }
  }

  // Calls of the agent

  /** @throws EngineAway when it does not answer in time */
  *#answer(usualMs: number): Work {
    const tookMs = usualMs * this.trouble.slowness * (0.5 + this.#clock.random());
    if (tookMs > 0) yield tookMs;
    for (let waitedMs = 0; this.trouble.isHung; waitedMs += askAgainMs) {
      if (waitedMs >= callMs) throw new EngineAway('Docker did not answer in time');
      yield askAgainMs;
    }
    this.settle();
  }

  /** @throws EngineAway */
  *list(): Work<readonly SimContainer[]> {
    if (this.trouble.isHung) yield* this.#answer(0);
    this.settle();
    return [...this.containers.values()];
  }

  /** @returns undefined when there is none @throws EngineAway */
  *inspect(id: string): Work<SimContainer | undefined> {
    if (this.trouble.isHung) yield* this.#answer(0);
    this.settle();
    return this.containers.get(id);
  }

  /** @throws EngineRefusal when the pull fails */
  *ensureImage(image: string): Work {
    if (this.images.has(image)) return;
    yield* this.#answer(pullMs);
    if (this.trouble.failsPulls) throw new EngineRefusal(`pull ${image}: no such host`);
    this.images.add(image);
  }

  *ensureVolume(name: string, origin: SimVolume): Work {
    yield* this.#answer(0);
    if (!this.volumes.has(name)) this.volumes.set(name, origin);
  }

  *removeVolume(name: string): Work {
    yield* this.#answer(removeMs);
    const isUsed = [...this.containers.values()].some(({ volumes }) => volumes.includes(name));
    if (isUsed) throw new EngineRefusal(`remove ${name}: the volume is in use`);
    this.volumes.delete(name);
  }

  isNameTaken(name: string): boolean {
    return [...this.containers.values()].some((other) => other.name === name);
  }

  *create(body: SimContainerBody, name: string, machine: string): Work<SimContainer> {
    yield* this.#answer(createMs);
    const container: SimContainer = {
      ...body,
      id: `${machine}c${++this.#count}`,
      name: this.isNameTaken(name) ? `${name}_${this.#count}` : name,
      state: 'created',
      health: 'none',
      exitCode: 0,
      createdMs: this.#clock.now(),
      startedMs: 0,
      finishedMs: 0,
    };
    this.containers.set(container.id, container);
    this.#tell(container.id);
    return container;
  }

  *start(id: string): Work {
    yield* this.#answer(startMs);
    const container = this.containers.get(id);
    if (container === undefined) throw new EngineRefusal(`start ${id}: no such container`);
    if (container.state === 'running') return;
    container.state = 'running';
    container.health = container.hasHealthcheck ? 'starting' : 'none';
    container.startedMs = this.#clock.now();
    const { hook } = container;
    if (hook !== undefined) this.hookStarts.set(hook, (this.hookStarts.get(hook) ?? 0) + 1);
    this.#plan(container);
    this.#tell(id);
  }

  *stop(id: string): Work {
    yield* this.#answer(endMs);
    const container = this.containers.get(id);
    if (container === undefined) return;
    this.#end(container, 143);
    this.#tell(id);
  }

  *restart(id: string): Work {
    yield* this.stop(id);
    yield* this.start(id);
  }

  *kill(id: string, signal: string): Work {
    yield* this.#answer(0);
    const container = this.containers.get(id);
    if (container === undefined || signal === 'SIGHUP') return;
    this.#end(container, 137);
    this.#tell(id);
  }

  *remove(id: string): Work {
    yield* this.#answer(removeMs);
    this.#due.delete(id);
    this.containers.delete(id);
    this.#tell(id);
  }

  *rename(id: string, name: string): Work {
    yield* this.#answer(0);
    if (this.isNameTaken(name)) throw new EngineRefusal(`rename ${id}: ${name} is in use`);
    const container = this.containers.get(id);
    if (container === undefined) throw new EngineRefusal(`rename ${id}: no such container`);
    container.name = name;
    this.#tell(id);
  }
}
