/**
 * What runs during chaos, and every `up` with what became of it: afterwards the definition in force
 * must be one that no acknowledged later `up` has replaced.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { World } from './world.ts';

export const project = 'chaos';
export const host = 'chaos.example.com';
export const versionLabel = 'chaos.version';

/** Replicas of `web`: so few that a cut can take all of them, so many that it seldom does. */
export const replicaCounts = [2, 3, 4, 5] as const;

/** 20 s: an `up` waits for facts, pulls and copies; machines that fall silent cost some seconds. */
const upTimeoutMs = 20_000;

const page =
  `require('http').createServer((q,r)=>r.end(process.env.VERSION)).listen(8000);` +
  `process.on('SIGTERM',()=>process.exit())`;

/** The Compose file of one version. */
export function composeFile(version: number, replicas: number): string {
  return `
services:
  web:
    image: node:24
    command: ["node", "-e", "${page}"]
    environment: { VERSION: "${version}" }
    labels: { ${versionLabel}: "${version}" }
    x-ports: ["${host}:8000/http"]
    deploy: { replicas: ${replicas} }
  data:
    image: busybox
    command: sh -c "echo $$(hostname) >> /data/starts; exec sleep 100000"
    init: true
    volumes: ["kept:/data"]
  asker:
    image: node:24
    command: sleep 100000
    init: true
    deploy: { mode: global }
volumes: { kept: {} }
`;
}

export interface Attempt {
  readonly version: number;
  readonly replicas: number;
  readonly machine: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly isAcknowledged: boolean;
  readonly said: string;
  /** The part of a cut cluster in which it was made, from its beginning to its end. */
  readonly side: readonly string[] | undefined;
}

export class Workload {
  readonly attempts: Attempt[] = [];
  readonly #world: World;
  #version = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** `up --no-wait` of a new version on a machine. Never throws: a refusal is an outcome. */
  async up(machine: string, replicas: number): Promise<Attempt> {
    this.#version += 1;
    const version = this.#version;
    const folder = join(this.#world.of(machine).machine.dir, 'projects', project);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'compose.yaml'), composeFile(version, replicas));
    const startedMs = Date.now();
    const { groups } = this.#world;
    // Ended and not only left alone: a change that went on would be accepted after later ones.
    const outcome = await this.#world
      .command(machine, ['up', '--no-wait'], folder, upTimeoutMs)
      .then(
        ({ code, stderr }) => ({
          isAcknowledged: code === 0,
          said: stderr.trim() || `no answer within ${upTimeoutMs} ms`,
        }),
        (error: unknown) => ({ isAcknowledged: false, said: String(error) }),
      );
    const isSteady = this.#world.groups === groups && groups.length > 1;
    const side = isSteady ? groups.find((names) => names.includes(machine)) : undefined;
    const endedMs = Date.now();
    const attempt = { version, replicas, machine, startedMs, endedMs, side, ...outcome };
    this.attempts.push(attempt);
    return attempt;
  }

  /** The most replicas that anybody may have wanted since a moment. */
  mostReplicas(sinceMs: number): number {
    const before = this.attempts.filter(({ endedMs }) => endedMs < sinceMs);
    const last = before.filter((one) => isPossible(one, before));
    const since = this.attempts.filter(({ endedMs }) => endedMs >= sinceMs);
    return Math.max(...[...last, ...since].map(({ replicas }) => replicas), 0);
  }

  /** Versions that may be in force when all is at rest. */
  possible(): readonly Attempt[] {
    return this.attempts.filter((one) => isPossible(one, this.attempts));
  }
}

/** Not replaced by an acknowledged change that began after this one had ended. */
export function isPossible(one: Attempt, all: readonly Attempt[]): boolean {
  return !all.some((other) => other.isAcknowledged && other.startedMs > one.endedMs);
}
