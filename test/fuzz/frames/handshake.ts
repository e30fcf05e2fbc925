/**
 * The handshake under attack: both ends in memory, the frames between them changed on the way, or
 * invented by somebody who has no member's key. Nobody may come in by it who did not prove a key.
 */
import { EventEmitter } from 'node:events';
import type { WebSocket } from 'ws';
import { type HelloMembers, type HelloResult, shakeHands } from '../../../agent/hello.ts';
import { createVerify } from '../../../agent/identity.ts';
import { encodeArray, packRecord } from '../../../src/gossip/frame.ts';
import type { Signer } from '../../../src/gossip/runtime.ts';
import type { ReplicatedRecord } from '../../../src/model/record.ts';
import type { Random } from '../random.ts';
import { makeAttack } from './attack.ts';
import { type Cast, theCast } from './cast.ts';
import type { Victim } from './victim.ts';

const verify = createVerify();

/** The part of a WebSocket that a handshake uses; what is sent goes to `onSend`. */
class MemorySocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  onSend: (bytes: Uint8Array) => void = () => undefined;

  send(bytes: Uint8Array): void {
    if (this.readyState === this.OPEN) this.onSend(bytes);
  }

  close(): void {
    if (this.readyState !== this.OPEN) return;
    this.readyState = 3;
    this.emit('close', 1000);
  }

  terminate(): void {
    this.close();
  }

  /** Handshakes take any WebSocket by these methods alone. */
  asWebSocket(): WebSocket {
    return this as unknown as WebSocket;
  }
}

/** What happened in one attacked handshake. */
export interface HandshakeOutcome {
  readonly messageCount: number;
  readonly fault: string | undefined;
}

/** One handshake with the victim as the accepting or the dialling end. */
export function attackHandshake(random: Random, victim: Victim): HandshakeOutcome {
  const cast = theCast();
  const attacker = random.pick([cast.stranger, ...cast.hostile]);
  const isDialled = random.chance(0.7);
  let messageCount = 0;
  let result: HelloResult | undefined;
  /** Whether any message of the attacker's was not what an honest end with its key says. */
  let isChanged = false;
  const sockets = { victim: new MemorySocket(), attacker: new MemorySocket() };
  const members = (self: Signer): HelloMembers => ({
    cluster: cast.cluster,
    isMember: (machine) => machine !== cast.stranger.machine && victim.node.isMember(machine),
    isRemoved: () => false,
    offer: (records) => {
      if (self === cast.victim) victim.node.offer(records);
    },
    ownRecord: () => rootOf(cast, self),
  });
  const say = (bytes: Uint8Array): void => {
    messageCount++;
    sockets.victim.emit('message', Buffer.from(bytes));
  };
  sockets.attacker.onSend = (bytes) => {
    if (!random.chance(0.3)) return say(bytes);
    isChanged = true;
    const copy = new Uint8Array(bytes);
    const at = random.below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
    say(random.chance(0.7) ? copy : copy.subarray(0, at));
  };
  sockets.victim.onSend = (bytes) => {
    if (random.chance(0.1)) {
      isChanged = true;
      say(makeAttack(random, cast, attacker).bytes);
    }
    if (random.chance(0.05)) {
      isChanged = true;
      say(invented(random, cast, attacker));
    }
    sockets.attacker.emit('message', Buffer.from(bytes));
  };
  try {
    const victimParts = { signer: cast.victim, verify, members: members(cast.victim) };
    const attackerParts = { signer: attacker, verify, members: members(attacker) };
    const start = (who: 'victim' | 'attacker', isDialler: boolean): void => {
      const other = who === 'victim' ? attacker : cast.victim;
      const options = {
        path: '/gossip' as const,
        expected: isDialler ? other.machine : undefined,
        timeoutMs: 60_000,
      };
      const parts = who === 'victim' ? victimParts : attackerParts;
      shakeHands(sockets[who].asWebSocket(), parts, options, (outcome) => {
        if (who === 'victim') result = outcome;
      });
    };
    // The accepting end listens before the other one speaks.
    start(isDialled ? 'victim' : 'attacker', false);
    start(isDialled ? 'attacker' : 'victim', true);
  } catch (error) {
    return { messageCount, fault: `a handshake threw ${String(error)}` };
  } finally {
    sockets.victim.close();
    sockets.attacker.close();
  }
  const isIn = result?.isUp === true ? result.peer : undefined;
  if (isIn !== undefined && (attacker === cast.stranger || isIn !== attacker.machine)) {
    return { messageCount, fault: `${isIn} came in with the key of ${attacker.machine}` };
  }
  if (!isChanged && attacker !== cast.stranger && isIn === undefined) {
    return { messageCount, fault: 'a member with its own key was refused' };
  }
  return { messageCount, fault: undefined };
}

function rootOf(cast: Cast, { machine }: Signer): ReplicatedRecord | undefined {
  return cast.roots.find(({ origin }) => origin === machine);
}

/** A message of the handshake that nobody with the attacker's key says: another's name, old proofs. */
function invented(random: Random, cast: Cast, attacker: Signer): Uint8Array {
  const other = random.pick([...cast.honest, cast.victim]) ?? cast.victim;
  const nonce = Uint8Array.from({ length: 32 }, () => random.below(256));
  const record = random.pick([...cast.roots, ...cast.genuine]);
  const shown = record === undefined ? null : packRecord(record);
  const signature = attacker.sign(nonce);
  const messages: readonly [unknown[], ...unknown[][]] = [
    ['hello', 1, cast.cluster, other.machine, other.publicKey, nonce, shown],
    ['challenge', 1, other.machine, other.publicKey, nonce, shown, signature],
    ['proof', 1, signature],
    ['welcome', 1],
    ['reject', 1, 'removed'],
    ['hello', 2],
  ];
  return encodeArray(random.pick(messages));
}
