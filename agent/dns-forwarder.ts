/**
 * Passes questions on to other resolvers, unread, and brings the answer back. Each question over
 * UDP has a socket of its own, so its port is new every time and answers cannot be mixed up. A
 * resolver that is silent for a moment is joined by the next one; the first good answer wins.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';

/** 2 s for one question, all resolvers together. */
const timeoutMs = 2_000;
/** 600 ms until the next resolver is asked as well. */
const nextUpstreamMs = 600;
const inFlightLimit = 512;
/** 5 s: how often the machine's resolv.conf is looked at. */
const reloadMs = 5_000;
const upstreamLimit = 4;

/** Response codes after which another resolver is worth asking: SERVFAIL, NOTIMP, REFUSED. */
const failureCodes: readonly number[] = [2, 4, 5];

export interface DnsForwarderOptions {
  readonly resolvConfPath: string;
  /** Addresses that would lead back to ourselves. */
  readonly isOwn: (ip: string) => boolean;
  /** Port of all resolvers; another one in tests. */
  readonly port?: number;
}

export class DnsForwarder {
  readonly #options: DnsForwarderOptions;
  readonly #open = new Set<() => void>();
  #upstreams: readonly string[] = [];
  #checkedMs = Number.NEGATIVE_INFINITY;
  #modifiedMs = -1;

  constructor(options: DnsForwarderOptions) {
    this.#options = options;
  }

  /**
   * Asks the given resolvers, or the machine's own when none are given.
   * @returns the answer as it came, with the id of the query; undefined when there is none
   */
  async ask(
    query: Buffer,
    transport: 'udp' | 'tcp',
    given: readonly string[],
  ): Promise<Buffer | undefined> {
    const all = given.length > 0 ? given : this.#machineUpstreams();
    const upstreams = all.filter((ip) => !this.#options.isOwn(ip)).slice(0, upstreamLimit);
    if (upstreams.length === 0 || this.#open.size >= inFlightLimit) return undefined;
    const sent = Buffer.from(query);
    const id = query.readUInt16BE(0);
    sent.writeUInt16BE(randomInt(65_536), 0);
    const found = await this.#race(upstreams, sent, transport === 'udp' ? askUdp : askTcp);
    found?.writeUInt16BE(id, 0);
    return found;
  }

  stop(): void {
    for (const close of this.#open) close();
  }

  #race(upstreams: readonly string[], query: Buffer, askOne: AskOne): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const closers: (() => void)[] = [];
      let worst: Buffer | undefined;
      let asked = 0;
      let failed = 0;
      let next: NodeJS.Timeout | undefined;
      const finish = (response: Buffer | undefined) => {
        clearTimeout(timer);
        clearTimeout(next);
        this.#open.delete(abort);
        for (const close of closers) close();
        resolve(response);
      };
      const abort = () => finish(worst);
      const timer = setTimeout(abort, timeoutMs);
      this.#open.add(abort);
      const askNext = () => {
        clearTimeout(next);
        const ip = upstreams[asked];
        if (ip === undefined) return;
        asked += 1;
        const port = this.#options.port ?? 53;
        closers.push(
          askOne({ ip, port }, query, (response) => {
            if (response !== undefined && !failureCodes.includes(response.readUInt16BE(2) & 15)) {
              finish(response);
              return;
            }
            worst ??= response;
            failed += 1;
            if (failed === upstreams.length) finish(worst);
            else askNext();
          }),
        );
        next = setTimeout(askNext, nextUpstreamMs);
      };
      askNext();
    });
  }

  #machineUpstreams(): readonly string[] {
    const nowMs = performance.now();
    if (nowMs - this.#checkedMs < reloadMs) return this.#upstreams;
    this.#checkedMs = nowMs;
    try {
      const { mtimeMs } = statSync(this.#options.resolvConfPath);
      if (mtimeMs === this.#modifiedMs) return this.#upstreams;
      this.#modifiedMs = mtimeMs;
      this.#upstreams = parseNameservers(readFileSync(this.#options.resolvConfPath, 'utf8'));
    } catch {
      // The file may be replaced at this moment, or be missing: what was read last goes on.
    }
    return this.#upstreams;
  }
}

/** The addresses in a resolv.conf. */
export function parseNameservers(text: string): readonly string[] {
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap((match) => match[1] ?? []);
}

/** Asks one resolver; calls back once, with undefined on failure. Returns what closes the socket. */
type AskOne = (
  upstream: { readonly ip: string; readonly port: number },
  query: Buffer,
  done: (response: Buffer | undefined) => void,
) => () => void;

const askUdp: AskOne = ({ ip, port }, query, done) => {
  const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  let isOpen = true;
  const close = () => {
    if (isOpen) socket.close();
    isOpen = false;
  };
  const end = (response: Buffer | undefined) => {
    if (!isOpen) return;
    close();
    done(response);
  };
  socket.on('error', () => end(undefined));
  socket.on('message', (response) => {
    if (isAnswerTo(query, response)) end(response);
  });
  // Connected: a closed port is then heard of at once, and answers of others are not taken.
  socket.connect(port, ip, () => {
    if (isOpen) socket.send(query, () => undefined);
  });
  return close;
};

const askTcp: AskOne = ({ ip, port }, query, done) => {
  const socket = connect(port, ip);
  let buffered = Buffer.alloc(0);
  let isDone = false;
  const end = (response: Buffer | undefined) => {
    if (isDone) return;
    isDone = true;
    socket.destroy();
    done(response);
  };
  socket.on('error', () => end(undefined));
  socket.on('close', () => end(undefined));
  socket.on('connect', () => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
  });
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    if (buffered.length < 2 || buffered.length < 2 + buffered.readUInt16BE(0)) return;
    const response = buffered.subarray(2, 2 + buffered.readUInt16BE(0));
    end(isAnswerTo(query, response) ? response : undefined);
  });
  return () => {
    isDone = true;
    socket.destroy();
  };
};

function isAnswerTo(query: Buffer, response: Buffer): boolean {
  return response.length >= 12 && response.readUInt16BE(0) === query.readUInt16BE(0);
}
