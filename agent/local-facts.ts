/**
 * What only this machine knows and no record says, for `plan`: when containers left traffic, since
 * when others serve in their place, which volumes are here, when the machine was booted. Everything
 * is read again after an agent restart; what cannot be (the moment of draining) counts as long ago.
 */
import { readFileSync } from 'node:fs';
import type { View } from '../src/model/view.ts';
import { type ServingSince, servingSince } from '../src/plan/serving-since.ts';
import { type LocalState, subject } from '../src/plan/steps.ts';
import type { Log } from './log.ts';

/** 200 ms between looks at the volumes: while some are to go, every action that ends asks for one. */
const restMs = 200;

/** The kernel counts in hundredths of a second for user space, on every architecture. */
const ticksPerSecond = 100;

/**
 * When process 1 started: the boot of a machine, also of one made of namespaces.
 * @returns ms since the epoch; 0 when it cannot be told
 */
export function bootTimeMs(): number {
  return processStartMs('1');
}

/**
 * When a process started.
 * @returns ms since the epoch; 0 when it cannot be told
 */
export function processStartMs(pid: string): number {
  try {
    const bootSeconds = Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]);
    // The program's name may hold spaces; field 22 is counted after its closing bracket.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    const startTicks = Number(fields[19]);
    const bootMs = (bootSeconds + startTicks / ticksPerSecond) * 1000;
    return Number.isFinite(bootMs) ? bootMs : 0;
  } catch {
    return 0;
  }
}

export interface LocalFactsComponents {
  /** Engine names of this cluster's volumes here. */
  readonly listVolumes: () => Promise<readonly string[]>;
  readonly inFlight: () => ReadonlySet<string>;
  readonly onChange: () => void;
  readonly now: () => number;
  readonly log: Log;
}

export class LocalFacts {
  readonly #components: LocalFactsComponents;
  readonly #bootedAtMs = bootTimeMs();
  readonly #drainingSinceMs = new Map<string, number>();
  #servingSince: ServingSince = new Map();
  #volumes: ReadonlySet<string> = new Set();
  #isReading = false;
  /** Asked for while the volumes were being read, or just after. */
  #isReadAgain = false;
  /** Volumes that a tombstone names and that have been looked for. */
  #lookedFor = '';

  constructor(components: LocalFactsComponents) {
    this.#components = components;
  }

  state(): LocalState {
    return {
      inFlight: this.#components.inFlight(),
      drainingSinceMs: this.#drainingSinceMs,
      servingSince: this.#servingSince,
      volumes: this.#volumes,
      bootedAtMs: this.#bootedAtMs,
    };
  }

  /** Notes what has begun to drain or to serve, and looks for volumes that are to be deleted. */
  note(view: View): void {
    this.#servingSince = servingSince(this.#servingSince, view);
    const draining = new Set<string>();
    const inFlight = this.#components.inFlight();
    for (const container of view.containers) {
      if (container.machine !== view.self || !container.draining) continue;
      draining.add(container.id);
      // Others may send traffic to it until the action has ended: the time begins then.
      if (inFlight.has(subject.container(container.id))) continue;
      if (!this.#drainingSinceMs.has(container.id)) {
        this.#drainingSinceMs.set(container.id, this.#components.now());
      }
    }
    for (const id of this.#drainingSinceMs.keys()) {
      if (!draining.has(id)) this.#drainingSinceMs.delete(id);
    }
    const wanted = [...view.projects.values()].map((project) =>
      [project.pointerHlc, ...(project.tombstone?.deleteVolumes ?? [])].join(' '),
    );
    const key = wanted.filter((text) => text.includes(' ')).join(';');
    if (key !== this.#lookedFor) {
      this.#lookedFor = key;
      this.#refreshVolumes();
    }
  }

  /**
   * An action has ended: it may have made or removed a volume. Only a tombstone that names volumes
   * is planned by them, and its first sight brings a look of its own.
   */
  actionEnded(): void {
    if (this.#lookedFor !== '') this.#refreshVolumes();
  }

  /**
   * Looks at the volumes, now or a moment after the last look; `onChange` when they are others than
   * before.
   */
  #refreshVolumes(): void {
    this.#isReadAgain = this.#isReading;
    if (this.#isReading) return;
    this.#isReading = true;
    this.#components
      .listVolumes()
      .then((names) => {
        const isSame =
          names.length === this.#volumes.size && names.every((n) => this.#volumes.has(n));
        this.#volumes = new Set(names);
        if (!isSame) this.#components.onChange();
      })
      .catch((error: unknown) => {
        // Asked again with the next view.
        this.#lookedFor = '';
        this.#components.log.warn('cannot list volumes', { error });
      })
      .finally(() => {
        setTimeout(() => {
          this.#isReading = false;
          if (this.#isReadAgain) this.#refreshVolumes();
        }, restMs).unref();
      });
  }
}
