/**
 * Requests to the machines at a steady pace, as from people who have all machines' addresses in
 * their DNS: where a machine does not let them connect, they go on to the next one, as browsers do.
 * What was connected and gets no whole answer in time has failed. Bounded in every direction, and
 * it talks to nothing but the addresses that it was given.
 */
import { request } from 'node:http';

/** 40 requests a second, by turns to each machine. */
const pauseMs = 25;
/** 250 ms: what browsers wait for a connection before they try the next address. */
const connectTimeoutMs = 250;
/** 2 s: then a person has pressed reload. */
const answerTimeoutMs = 2_000;
/** 120: three seconds of requests under way; more are not begun. */
const maxOpenCount = 120;

export interface Entrance {
  readonly name: string;
  readonly address: string;
  /** 80 when not given. */
  readonly port?: number;
}

/** What became of one request. */
export interface Outcome {
  /** The machine that was tried last. */
  readonly entrance: string;
  /** Machines that did not let it connect before. */
  readonly refusedBy: readonly string[];
  readonly startedMs: number;
  readonly endedMs: number;
  /** undefined when there was no good answer. */
  readonly answer: { readonly version: string; readonly replica: string } | undefined;
  /** Why there was none; empty when there was one. */
  readonly why: string;
}

export interface TrafficOptions {
  readonly entrances: readonly Entrance[];
  /** The Host header. */
  readonly host: string;
}

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #outcomes: Outcome[] = [];
  readonly #open = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #sentCount = 0;
  #heldBackCount = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** All that have ended, in the order in which they did. */
  get outcomes(): readonly Outcome[] {
    return this.#outcomes;
  }

  /** Requests that were not begun because too many were open. */
  get heldBackCount(): number {
    return this.#heldBackCount;
  }

  start(): void {
    this.#timer = setInterval(() => this.#send(), pauseMs);
  }

  /** Begins no more, and waits for those under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }

  #send(): void {
    if (this.#open.size >= maxOpenCount) {
      this.#heldBackCount += 1;
      return;
    }
    const { entrances } = this.#options;
    const first = this.#sentCount % entrances.length;
    this.#sentCount += 1;
    const order = [...entrances.slice(first), ...entrances.slice(0, first)];
    const one = this.#ask(order).then((outcome) => {
      this.#outcomes.push(outcome);
      this.#open.delete(one);
    });
    this.#open.add(one);
  }

  async #ask(order: readonly Entrance[]): Promise<Outcome> {
    const startedMs = Date.now();
    const refusedBy: string[] = [];
    let last: Attempt = { type: 'refused' };
    let entrance = '';
    for (const one of order) {
      entrance = one.name;
      last = await attempt(one, this.#options.host);
      if (last.type !== 'refused') break;
      refusedBy.push(one.name);
    }
    const ended = { entrance, refusedBy, startedMs, endedMs: Date.now() };
    if (last.type === 'refused') return { ...ended, answer: undefined, why: 'no machine accepts' };
    if (last.type === 'broken') return { ...ended, answer: undefined, why: last.why };
    const [version = '', from, replica = ''] = last.body.trim().split(' ');
    if (last.status !== 200 || from !== 'from') {
      return { ...ended, answer: undefined, why: `status ${last.status}` };
    }
    return { ...ended, answer: { version, replica }, why: '' };
  }
}

type Attempt =
  | { readonly type: 'answered'; readonly status: number; readonly body: string }
  /** Connected, but no whole answer. */
  | { readonly type: 'broken'; readonly why: string }
  | { readonly type: 'refused' };

/** One request over a fresh connection. */
function attempt({ address, port = 80 }: Entrance, host: string): Promise<Attempt> {
  return new Promise((resolve) => {
    let isConnected = false;
    const call = request({ host: address, port, headers: { host }, agent: false });
    const end = (outcome: Attempt): void => {
      clearTimeout(connecting);
      clearTimeout(answering);
      resolve(outcome);
      call.destroy();
    };
    const broken = (why: string) =>
      end(isConnected ? { type: 'broken', why } : { type: 'refused' });
    const connecting = setTimeout(() => {
      if (!isConnected) end({ type: 'refused' });
    }, connectTimeoutMs);
    const answering = setTimeout(
      () => broken(`no answer in ${answerTimeoutMs / 1000} s`),
      connectTimeoutMs + answerTimeoutMs,
    );
    call.on('socket', (socket) => socket.once('connect', () => (isConnected = true)));
    call.on('error', (error) => broken(error.message));
    call.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => (body += text));
      response.on('error', (error) => broken(error.message));
      response.on('end', () => end({ type: 'answered', status: response.statusCode ?? 0, body }));
    });
    call.end();
  });
}

/** Those that got no good answer. */
export function failuresOf(outcomes: readonly Outcome[]): readonly Outcome[] {
  return outcomes.filter(({ answer }) => answer === undefined);
}

/** "; 3 by m1: status 502", for each machine and reason; empty when there was no failure. */
export function reasonsOf(outcomes: readonly Outcome[]): string {
  const counts = new Map<string, number>();
  for (const { entrance, why } of failuresOf(outcomes)) {
    const reason = `by ${entrance}: ${why}`;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].map(([reason, count]) => `; ${count} ${reason}`).join('');
}
