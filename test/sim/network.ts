/**
 * Streams as TCP gives them: in order, delayed by loss, stuck while a direction is cut, and broken
 * only when an end closes and the news can travel. A machine that lost power answers nothing; one
 * whose agent was killed refuses.
 */
import type { CloseReason, DialFailure, LinkId } from '../../src/gossip/runtime.ts';
import type { MachineId } from '../../src/model/ids.ts';
import type { SimMachine } from './machine.ts';
import type { World } from './world.ts';

/** TCP's first retransmission; doubled for each further loss of the same segment. */
const retransmitMs = 200;
const dialTimeoutMs = 2000;

/** A frame, or the end of the stream with what was said about it. */
type Sent = Uint8Array | { readonly reason: CloseReason | undefined };

interface End {
  readonly machine: SimMachine;
  /** Of the process that opened it; a later one knows nothing of the connection. */
  readonly epoch: number;
  readonly link: LinkId;
  isClosed: boolean;
  /** The handshake's end has been told to the node. */
  isUp: boolean;
  lastArrivalMs: number;
  /** Frames that a cut holds back. */
  held: Sent[];
  /** Bytes that the other end has not read yet. */
  unreadBytes: number;
}

export class Connection {
  readonly ends: readonly [End, End];

  constructor(a: SimMachine, b: SimMachine, linkA: LinkId, linkB: LinkId) {
    const end = (machine: SimMachine, link: LinkId): End => ({
      machine,
      epoch: machine.epoch,
      link,
      isClosed: false,
      isUp: false,
      lastArrivalMs: 0,
      held: [],
      unreadBytes: 0,
    });
    this.ends = [end(a, linkA), end(b, linkB)];
  }
}

/** What the receiving kernel takes although its process does not read. */
const receiveBufferBytes = 128 << 10;

function pairKey(a: MachineId, b: MachineId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function sizeOf(sent: Sent): number {
  return sent instanceof Uint8Array ? sent.length : 0;
}

interface Found {
  readonly connection: Connection;
  readonly index: number;
  readonly end: End;
}

export class Network {
  readonly #world: World;
  readonly connections = new Set<Connection>();
  readonly #byLink = new Map<LinkId, Found>();
  /** Whom a machine's packets do not reach. */
  readonly #cuts = new Map<MachineId, Set<MachineId>>();
  /** Of two machines between which something was cut, when a cut ended last. */
  readonly #openedMs = new Map<string, number>();
  #lastLink = 0;
  loss = 0;
  latencyMs: readonly [number, number] = [0.3, 1.5];
  /** Bytes of all frames that were sent. */
  sentBytes = 0;
  sentCount = 0;
  /** Connections whose handshake succeeded. */
  madeCount = 0;

  constructor(world: World) {
    this.#world = world;
  }

  // Cuts

  cut(from: SimMachine, to: SimMachine): void {
    const cut = this.#cuts.get(from.machine) ?? new Set<MachineId>();
    this.#cuts.set(from.machine, cut.add(to.machine));
    this.#disturb(from, to);
  }

  isOpen(from: SimMachine, to: SimMachine): boolean {
    return (
      (this.#cuts.size === 0 || this.#cuts.get(from.machine)?.has(to.machine) !== true) &&
      !from.isOff &&
      !to.isOff &&
      !from.isAsleep &&
      !to.isAsleep
    );
  }

  join(from: SimMachine, to: SimMachine): void {
    const cut = this.#cuts.get(from.machine);
    if (cut?.delete(to.machine) !== true) return;
    if (cut.size === 0) this.#cuts.delete(from.machine);
    this.#disturb(from, to);
    this.#noteOpened(from.machine, to.machine);
    this.release();
  }

  /** When a cut between the two ended last, in whichever direction; before all time if none did. */
  openedMs(a: SimMachine, b: SimMachine): number {
    return this.#openedMs.get(pairKey(a.machine, b.machine)) ?? Number.NEGATIVE_INFINITY;
  }

  #noteOpened(a: MachineId, b: MachineId): void {
    this.#openedMs.set(pairKey(a, b), this.#world.nowMs);
  }

  get cutCount(): number {
    let count = 0;
    for (const cut of this.#cuts.values()) count += cut.size;
    return count;
  }

  #disturb(...machines: readonly SimMachine[]): void {
    for (const machine of machines) machine.disturbedMs = this.#world.nowMs;
  }

  healAll(): void {
    for (const [from, cut] of this.#cuts) for (const to of cut) this.#noteOpened(from, to);
    this.#cuts.clear();
    this.release();
  }

  /** What cuts held back is retransmitted. */
  release(): void {
    for (const connection of this.connections) {
      for (const [index, end] of connection.ends.entries()) {
        const other = connection.ends[1 - index] ?? end;
        if (end.held.length === 0 || !this.isOpen(end.machine, other.machine)) continue;
        const { held } = end;
        end.held = [];
        const delayMs = this.#world.between(10, retransmitMs);
        for (const bytes of held) this.#transmit(connection, index, bytes, delayMs);
      }
    }
  }

  // Dialling

  dial(from: SimMachine, to: SimMachine): void {
    const world = this.#world;
    const { epoch } = from;
    let isDone = false;
    const fail = (failure: DialFailure): void => {
      if (isDone) return;
      isDone = true;
      from.inside(epoch, (node) => node.dialFailed(to.machine, failure));
    };
    let isReached = false;
    world.after(dialTimeoutMs, () => fail(isReached ? 'answered' : 'silent'));
    const oneWay = (a: SimMachine, b: SimMachine, then: () => void): void => {
      if (!this.isOpen(a, b)) return;
      world.after(this.#delayMs(), () => {
        if (this.isOpen(a, b)) then();
      });
    };
    oneWay(from, to, () =>
      oneWay(to, from, () => {
        if (!to.isRunning) return fail('answered');
        isReached = true;
        from.inside(epoch, (node) => node.dialReached(to.machine));
        oneWay(from, to, () => {
          // Kernel accepts; the agent must run for the handshake.
          const targetEpoch = to.epoch;
          to.inside(targetEpoch, (target) => {
            const verdict = to.greet(from);
            if (verdict !== undefined) return oneWay(to, from, () => fail('rejected'));
            if (!from.greets(to)) return;
            const connection = new Connection(from, to, ++this.#lastLink, ++this.#lastLink);
            const [dialler, acceptor] = connection.ends;
            this.connections.add(connection);
            this.madeCount++;
            for (const [index, end] of connection.ends.entries()) {
              this.#byLink.set(end.link, { connection, index, end });
            }
            acceptor.isUp = true;
            if (this.isOpen(to, from)) {
              // The welcome is the first on the stream: what the acceptor says comes after it.
              const welcomeMs = this.#delayMs();
              dialler.lastArrivalMs = world.nowMs + welcomeMs;
              world.after(welcomeMs, () => {
                from.inside(epoch, (node) => {
                  if (isDone || dialler.isClosed) return;
                  isDone = true;
                  dialler.isUp = true;
                  node.linkUp(dialler.link, to.machine, true);
                });
              });
            }
            target.linkUp(acceptor.link, from.machine, false);
          });
        });
      }),
    );
  }

  // Streams

  send(machine: SimMachine, link: LinkId, bytes: Uint8Array): void {
    const found = this.#find(machine, link);
    if (found === undefined || found.end.isClosed) return;
    this.sentBytes += bytes.length;
    this.sentCount++;
    this.#transmit(found.connection, found.index, bytes, 0);
  }

  bufferedBytes(machine: SimMachine, link: LinkId): number {
    const end = this.#find(machine, link)?.end;
    if (end === undefined) return 0;
    const unread = Math.max(0, end.unreadBytes - receiveBufferBytes);
    if (end.held.length === 0) return unread;
    return end.held.reduce((sum, sent) => sum + sizeOf(sent), unread);
  }

  close(machine: SimMachine, link: LinkId, reason: CloseReason): void {
    const found = this.#find(machine, link);
    if (found !== undefined) this.#closeEnd(found.connection, found.index, reason);
  }

  /** The process is gone; its kernel closes everything. */
  closeAll(machine: SimMachine): void {
    for (const connection of this.connections) {
      for (const [index, end] of connection.ends.entries()) {
        if (end.machine === machine) this.#closeEnd(connection, index);
      }
    }
  }

  /**
   * All connections of a machine break; both ends learn of it.
   * @returns the machines at the other ends
   */
  resetAll(machine: SimMachine): SimMachine[] {
    const peers: SimMachine[] = [];
    for (const { ends } of this.connections) {
      const peer = ends.find((end) => end.machine !== machine)?.machine;
      if (peer === undefined || !ends.some((end) => end.machine === machine)) continue;
      if (ends.every((end) => end.isUp && !end.isClosed)) peers.push(peer);
      for (const [index, end] of ends.entries()) {
        const found = this.#byLink.get(end.link);
        if (end.isClosed || found === undefined) continue;
        this.#closeEnd(found.connection, index);
        end.machine.inside(end.epoch, (node) => node.linkDown(end.link));
      }
    }
    return peers;
  }

  /** Power is gone: connections die without a word. */
  vanish(machine: SimMachine): void {
    for (const { ends } of this.connections) {
      for (const end of ends) if (end.machine === machine) end.isClosed = true;
    }
  }

  linksOf(machine: SimMachine): { readonly link: LinkId; readonly peer: SimMachine }[] {
    const links: { link: LinkId; peer: SimMachine }[] = [];
    for (const { ends } of this.connections) {
      for (const [index, end] of ends.entries()) {
        const peer = ends[1 - index]?.machine;
        if (end.machine === machine && !end.isClosed && end.isUp && peer) {
          links.push({ link: end.link, peer });
        }
      }
    }
    return links;
  }

  #find(machine: SimMachine, link: LinkId): Found | undefined {
    const found = this.#byLink.get(link);
    return found?.end.machine === machine ? found : undefined;
  }

  #closeEnd(connection: Connection, index: number, reason?: CloseReason): void {
    const end = connection.ends[index];
    if (end === undefined || end.isClosed) return;
    end.isClosed = true;
    this.#transmit(connection, index, { reason }, 0);
  }

  #transmit(connection: Connection, index: number, bytes: Sent, extraMs: number): void {
    const from = connection.ends[index];
    const to = connection.ends[1 - index];
    if (from === undefined || to === undefined) return;
    if (!this.isOpen(from.machine, to.machine) || from.held.length > 0) {
      from.held.push(bytes);
      return;
    }
    const arrivalMs = this.#world.nowMs + this.#delayMs() + extraMs;
    from.unreadBytes += sizeOf(bytes);
    to.lastArrivalMs =
      Math.max(to.lastArrivalMs, arrivalMs) + sizeOf(bytes) / to.machine.readBytesPerMs;
    this.#world.at(to.lastArrivalMs, () => this.#arrive(connection, from, to, bytes));
  }

  #arrive(connection: Connection, from: End, to: End, bytes: Sent): void {
    from.unreadBytes -= sizeOf(bytes);
    if (from.machine.isOff || to.machine.isOff) return;
    if (to.machine.isAsleep) {
      from.unreadBytes += sizeOf(bytes);
      to.machine.whenAwake(() => this.#arrive(connection, from, to, bytes));
      return;
    }
    const isGone = to.isClosed || to.epoch !== to.machine.epoch;
    if (!(bytes instanceof Uint8Array)) {
      this.connections.delete(connection);
      for (const end of connection.ends) this.#byLink.delete(end.link);
      if (isGone) return;
      to.isClosed = true;
      return to.machine.inside(to.epoch, (node) => node.linkDown(to.link, bytes.reason));
    }
    if (isGone) {
      // Data for a closed socket: the kernel resets the connection.
      const index = connection.ends.indexOf(to);
      return this.#transmit(connection, index, { reason: undefined }, 0);
    }
    to.machine.inside(to.epoch, (node) => node.receive(to.link, bytes));
  }

  #delayMs(): number {
    let delayMs = this.#world.between(...this.latencyMs);
    let waitMs = retransmitMs;
    while (this.loss > 0 && this.#world.random() < this.loss && waitMs < 5000) {
      delayMs += waitMs;
      waitMs *= 2;
    }
    return delayMs;
  }
}
