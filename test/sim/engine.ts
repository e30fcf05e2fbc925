/**
 * A container engine made of a map. Containers outlive the agent and the record file, end with the
 * power, and take a moment to come and go. It never fails: what the plan makes of failures is looked
 * at elsewhere.
 */
import type { ContainerRecord } from '../../src/model/record.ts';

export interface SimContainer {
  readonly id: string;
  readonly project: string;
  readonly service: string;
  readonly slot: string;
  readonly hash: string;
  readonly rollout: string;
  name: string;
  state: 'running' | 'exited';
  exitCode: number;
  isDraining: boolean;
  restarts: number;
  readonly createdMs: number;
  startedMs: number;
  finishedMs: number;
}

export class SimEngine {
  readonly containers = new Map<string, SimContainer>();
  #count = 0;

  create(fields: Omit<SimContainer, 'id'>, machine: string): SimContainer {
    const container = { ...fields, id: `${machine}c${++this.#count}` };
    this.containers.set(container.id, container);
    return container;
  }

  start(id: string, nowMs: number, restarts: number): void {
    const container = this.containers.get(id);
    if (container === undefined) return;
    container.isDraining = false;
    if (container.state === 'running') return;
    container.state = 'running';
    container.startedMs = nowMs;
    container.restarts = restarts;
  }

  stop(id: string, nowMs: number): void {
    const container = this.containers.get(id);
    if (container?.state !== 'running') return;
    container.state = 'exited';
    container.exitCode = 137;
    container.finishedMs = nowMs;
  }

  remove(id: string): void {
    this.containers.delete(id);
  }

  /** As it is on the copy of a machine's disk. */
  copy(): SimEngine {
    const engine = new SimEngine();
    for (const [id, container] of this.containers) engine.containers.set(id, { ...container });
    return engine;
  }

  /** All containers end. */
  cutPower(nowMs: number): void {
    for (const container of this.containers.values()) {
      if (container.state !== 'running') continue;
      container.state = 'exited';
      container.exitCode = 255;
      container.finishedMs = nowMs;
    }
  }
}

/** What the observer would write of a container. */
export function recordOf(container: SimContainer, isReady: boolean): ContainerRecord {
  const { id: _id, isDraining, ...rest } = container;
  return {
    ...rest,
    image: 'image',
    health: 'none',
    ready: isReady && !isDraining,
    draining: isDraining,
    ip: container.state === 'running' ? '10.210.0.2' : '',
    aliases: [],
    networks: {},
  };
}
