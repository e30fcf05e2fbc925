/**
 * The agent's gossip under attack: the shipping GossipNode with real signatures on a virtual clock,
 * so that ten seconds of ban cost nothing. Whatever it accepts is checked here: each record must be
 * one that its origin really signed.
 */
import { createVerify } from '../../../agent/identity.ts';
import { verifyRecord } from '../../../src/gossip/admission.ts';
import { GossipNode } from '../../../src/gossip/node.ts';
import type { Cancel, Delivery, LinkId, Runtime } from '../../../src/gossip/runtime.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import type { ReplicatedRecord } from '../../../src/model/record.ts';
import { World } from '../../sim/world.ts';
import { type Cast, epochMs, keysOf } from './cast.ts';

const verify = createVerify();

/** A record and its signature as text: equal only when every byte is. */
function identityOf({ key, origin, hlc, schema, body, signature }: ReplicatedRecord): string {
  const bodyText = body === null ? '-' : Buffer.from(body).toString('base64');
  return [key, origin, hlc, schema, bodyText, Buffer.from(signature).toString('base64')].join(' ');
}

export class Victim implements Runtime {
  readonly node: GossipNode;
  readonly world: World;
  readonly #cast: Cast;
  readonly #keys: ReadonlyMap<MachineId, string>;
  readonly #genuine: ReadonlySet<string>;
  readonly #honest: ReadonlySet<MachineId>;
  readonly #open = new Set<LinkId>();
  #lastLink = 0;
  /** What must never happen and did. */
  readonly faults: string[] = [];
  sentBytes = 0;
  acceptedCount = 0;

  constructor(cast: Cast, seed: number) {
    this.#cast = cast;
    this.#keys = keysOf(cast);
    this.#honest = new Set(cast.honest.map(({ machine }) => machine));
    this.#genuine = new Set([...cast.roots, ...cast.genuine].map(identityOf));
    this.world = new World(seed);
    this.node = new GossipNode({ runtime: this, signer: cast.victim, verify }, { lastHlc: 0 });
    this.node.enter(cast.cluster, cast.roots);
    this.node.start();
    this.world.runUntil(1);
  }

  /** Whether a link is still open at this end. */
  isOpen(link: LinkId): boolean {
    return this.#open.has(link);
  }

  /** A peer that has proved its key connects. */
  connect(peer: MachineId): LinkId {
    const link = ++this.#lastLink;
    this.#open.add(link);
    this.node.linkUp(link, peer, false);
    return link;
  }

  /** The network breaks it. */
  cut(link: LinkId): void {
    if (this.#open.delete(link)) this.node.linkDown(link);
  }

  /** Feeds one frame; a throw is a fault. */
  receive(link: LinkId, bytes: Uint8Array): void {
    try {
      this.node.receive(link, bytes);
    } catch (error) {
      this.fault(`receive threw ${String(error)} for ${Buffer.from(bytes).toString('hex')}`);
    }
  }

  /** Lets time pass. */
  pass(durationMs: number): void {
    try {
      this.world.runUntil(this.world.nowMs + durationMs);
    } catch (error) {
      this.fault(`a timer threw ${String(error)}`);
    }
  }

  fault(text: string): void {
    if (this.faults.length < 10) this.faults.push(text.slice(0, 2000));
  }

  // Runtime

  now(): number {
    return epochMs + this.world.nowMs;
  }

  monotonic(): number {
    return this.world.nowMs;
  }

  random(): number {
    return this.world.random();
  }

  schedule(delayMs: number, run: () => void): Cancel {
    return this.world.after(delayMs, run);
  }

  send(_link: LinkId, frame: Uint8Array): void {
    this.sentBytes += frame.length;
  }

  bufferedBytes(): number {
    return 0;
  }

  close(link: LinkId): void {
    this.#open.delete(link);
  }

  dial(machine: MachineId): void {
    this.world.after(1000, () => this.node.dialFailed(machine, 'silent'));
  }

  deliver({ records }: Delivery): void {
    for (const record of records) this.#check(record);
  }

  livenessChanged(): void {
    // Read at the end of a session.
  }

  whenDurable(_key: string, _hlc: number, then: () => void): void {
    then();
  }

  report(): void {
    // Reports tell of what the hostile ones sent.
  }

  #check(record: ReplicatedRecord): void {
    this.acceptedCount++;
    const key = this.#keys.get(record.origin);
    if (key === undefined) {
      return this.fault(`accepted ${record.key} of a stranger, ${record.origin}`);
    }
    // Signed by whom it names, and of the honest ones only what they said.
    if (!verifyRecord(this.#cast.cluster, key, record, verify)) {
      this.fault(`accepted ${record.key} of ${record.origin} with a wrong signature`);
    }
    if (this.#honest.has(record.origin) && !this.#genuine.has(identityOf(record))) {
      this.fault(`accepted ${record.key}, which ${record.origin} never wrote`);
    }
  }
}
