/**
 * "Is this record on your disk?" A change is acknowledged to the user only when it cannot be lost
 * with one disk, so the accepting machine asks its neighbours, and each answers once the record,
 * or a later one of the same key, is durable there.
 */
import type { Hlc, MachineId } from '../model/ids.ts';
import type { Frame } from './frame.ts';
import { maxOpenQuestionCount, questionLifeMs } from './limits.ts';
import type { RecordMap } from './record-map.ts';
import type { Cancel, LinkId, Runtime } from './runtime.ts';

interface Asked {
  readonly key: string;
  readonly hlc: Hlc;
  readonly holders: Set<MachineId>;
  readonly count: number;
  readonly done: (holderCount: number) => void;
  readonly cancel: Cancel;
}

interface Open {
  readonly link: LinkId;
  readonly question: number;
  readonly key: string;
  readonly hlc: Hlc;
  readonly untilMs: number;
}

export interface AskOptions {
  readonly key: string;
  readonly hlc: Hlc;
  /** How many other machines must hold it; `linked`: all that this one is linked with. */
  readonly count: number | 'linked';
  readonly timeoutMs: number;
}

export interface QuestionsComponents {
  readonly runtime: Runtime;
  readonly map: RecordMap;
  readonly links: () => Iterable<{ readonly id: LinkId; readonly peer: MachineId }>;
  readonly send: (link: LinkId, frame: Frame) => void;
}

export class Questions {
  readonly #components: QuestionsComponents;
  readonly #asked = new Map<number, Asked>();
  #open: Open[] = [];
  #lastQuestion = 0;

  constructor(components: QuestionsComponents) {
    this.#components = components;
  }

  /** Asks all linked machines; calls `done` once, with the number of those that hold the record. */
  ask(options: AskOptions, done: (holderCount: number) => void): void {
    const { runtime, links, send } = this.#components;
    const { key, hlc, timeoutMs } = options;
    const count = options.count === 'linked' ? [...links()].length : options.count;
    if (count <= 0) return done(0);
    const question = ++this.#lastQuestion;
    const cancel = runtime.schedule(timeoutMs, () => this.#finish(question));
    this.#asked.set(question, { key, hlc, holders: new Set(), count, done, cancel });
    for (const { id } of links()) send(id, { type: 'askStored', question, key, hlc });
  }

  #finish(question: number): void {
    const asked = this.#asked.get(question);
    if (asked === undefined) return;
    this.#asked.delete(question);
    asked.cancel();
    asked.done(asked.holders.size);
  }

  /** A new link: its machine may hold what others do not. */
  linkUp(link: LinkId): void {
    for (const [question, { key, hlc }] of this.#asked) {
      this.#components.send(link, { type: 'askStored', question, key, hlc });
    }
  }

  linkDown(link: LinkId): void {
    this.#open = this.#open.filter((open) => open.link !== link);
  }

  /** A peer says that it holds the record. */
  stored(peer: MachineId, question: number): void {
    const asked = this.#asked.get(question);
    if (asked === undefined) return;
    asked.holders.add(peer);
    if (asked.holders.size >= asked.count) this.#finish(question);
  }

  /** A peer asks. */
  asked(link: LinkId, question: number, key: string, hlc: Hlc): void {
    const { runtime } = this.#components;
    const openCount = this.#open.filter((open) => open.link === link).length;
    if (openCount >= maxOpenQuestionCount) return;
    const open = { link, question, key, hlc, untilMs: runtime.monotonic() + questionLifeMs };
    if (!this.#answer(open)) this.#open.push(open);
  }

  /** Records came: some questions can be answered now. */
  arrived(): void {
    if (this.#open.length === 0) return;
    const nowMs = this.#components.runtime.monotonic();
    this.#open = this.#open.filter((open) => open.untilMs > nowMs && !this.#answer(open));
  }

  #answer({ link, question, key, hlc }: Open): boolean {
    const { map, runtime, send } = this.#components;
    const record = map.record(key);
    if (record === undefined || record.hlc < hlc) return false;
    runtime.whenDurable(key, record.hlc, () => send(link, { type: 'stored', question }));
    return true;
  }
}
