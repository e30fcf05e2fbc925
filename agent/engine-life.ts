/**
 * Tells what ended by itself from what the engine ended. An engine that is stopped, with its machine
 * or alone, ends its containers, and one that is killed has them ended by its successor; a server
 * that is asked to stop exits with code 0, as a job does that has done its work. Docker keeps no
 * note of the difference, so it is told by when it happened.
 */
import { readFileSync } from 'node:fs';
import { processStartMs } from './local-facts.ts';

/** Where Docker writes its process id, unless told otherwise. */
const enginePidFile = '/run/docker.pid';
/** 2 s: an engine that stops closes its API while it stops its containers. */
const beforeMs = 2_000;
/** 2 min after the agent has said good-bye: services are stopped one after the other. */
const shutdownMs = 120_000;
/** 60 s between the end of killed containers and the start of the next engine. */
const restartMs = 60_000;

export interface Ended {
  readonly exitCode: number;
  readonly startedMs: number;
  readonly finishedMs: number;
}

export interface EngineLifeComponents {
  readonly now: () => number;
  /** When an earlier run of this agent was told to stop; undefined when it was not. */
  readonly leftMs: number | undefined;
  /** When the engine's process started, ms since the epoch; 0 when that cannot be told. */
  readonly engineStartMs?: () => number;
}

export class EngineLife {
  readonly #components: EngineLifeComponents;
  #startedMs: number;
  #downMs: number | undefined;
  #away: { readonly fromMs: number; readonly untilMs: number } | undefined;

  constructor(components: EngineLifeComponents) {
    this.#components = components;
    this.#startedMs = this.#readStart();
  }

  /** Notes whether the engine answers, each time that changes. */
  note(isUp: boolean): void {
    const nowMs = this.#components.now();
    if (!isUp) {
      this.#downMs ??= nowMs;
      return;
    }
    const startedMs = this.#readStart();
    if (this.#downMs !== undefined && startedMs !== this.#startedMs) {
      this.#away = { fromMs: this.#downMs, untilMs: nowMs };
    }
    this.#startedMs = startedMs;
    this.#downMs = undefined;
  }

  /** Whether a container was ended by its engine, or with its machine, and not by itself. */
  hasEnded({ exitCode, startedMs, finishedMs }: Ended): boolean {
    // The engine that started it is the one that saw its end.
    if (startedMs >= this.#startedMs) return false;
    const away = this.#away;
    if (away && finishedMs >= away.fromMs - beforeMs && finishedMs <= away.untilMs) return true;
    const { leftMs } = this.#components;
    const isShutdown =
      leftMs !== undefined && finishedMs >= leftMs - beforeMs && finishedMs <= leftMs + shutdownMs;
    if (isShutdown) return true;
    return (exitCode === 137 || exitCode === 143) && finishedMs >= this.#startedMs - restartMs;
  }

  #readStart(): number {
    return (this.#components.engineStartMs ?? engineStartMs)();
  }
}

function engineStartMs(): number {
  try {
    return processStartMs(readFileSync(enginePidFile, 'utf8').trim());
  } catch {
    return 0;
  }
}
