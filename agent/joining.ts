/**
 * How machines come together: founding, tokens, joining. The joiner brings up a WireGuard device
 * with the token's one-time key, which the issuer has admitted as a peer, and does the rest inside
 * that tunnel: it shows its keys, gets its admission and /24, and hands in its own signed record,
 * from which every member learns its WireGuard key. Nothing of it crosses the wire unencrypted,
 * and a token works once.
 */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineFacts } from '../src/gossip/admission.ts';
import { TscError } from '../src/lib/errors.ts';
import { meshIp } from '../src/lib/mesh-address.ts';
import type { InfoAnswer, InitRequest, JoinRequest, TokenAnswer } from '../src/model/api.ts';
import { meshPort } from '../src/model/names.ts';
import type { MachineRecord } from '../src/model/record.ts';
import { type ExtraPeer, meshMtu } from '../src/render/mesh.ts';
import type { ClusterChanges } from './api-routes.ts';
import { type Identity, x25519PublicKey } from './identity.ts';
import type { Log } from './log.ts';
import type { AgentReplica, JoinAnswer } from './replica.ts';
import {
  decodeToken,
  encodeToken,
  issueToken,
  type JoinToken,
  type PendingTokens,
} from './token.ts';
import { WireguardDriver } from './wireguard.ts';

/** The device of a join that is under way; gone afterwards. */
const joinDevice = 'tsc-join';
const defaultRange = '10.210.0.0/16';
/** 30 s: several endpoints at 2 s each, twice over. */
const joinTimeoutMs = 30_000;
const joinRetryMs = 200;
/** 60 s: how long the one-time key of a used token stays a peer, so that the joiner can finish. */
const finishMs = 60_000;

/** What travels inside the tunnel. */
type JoinBody =
  | {
      readonly step: 'admit';
      readonly secret: string;
      readonly publicKey: string;
      readonly wgPublicKey: string;
    }
  | { readonly step: 'enter'; readonly record: string };

export interface JoiningComponents {
  readonly identity: Identity;
  readonly replica: AgentReplica;
  readonly tokens: PendingTokens;
  /** What this machine says of itself, with these endpoints first. */
  readonly facts: (endpoints: readonly string[]) => Promise<MachineFacts>;
  /** Starts everything that needs a cluster; resolved when mesh and gossip work. */
  readonly startCluster: () => Promise<void>;
  /** Applies the mesh with the extra peers of now. */
  readonly applyMesh: () => Promise<void>;
  readonly info: () => InfoAnswer;
  readonly now: () => number;
  readonly runDir: string;
  readonly log: Log;
}

export class Joining implements ClusterChanges {
  readonly #components: JoiningComponents;
  /** One-time public key to the moment until which its joiner may finish. */
  readonly #finishing = new Map<string, number>();
  /** Who was admitted with which token: a joiner whose answer was lost gets it again. */
  readonly #admitted = new Map<string, { readonly answer: JoinAnswer; readonly untilMs: number }>();
  #isChanging = false;

  constructor(components: JoiningComponents) {
    this.#components = components;
  }

  /** Peers that are no members yet: the one-time keys of tokens that may still be used. */
  extraPeers(): readonly ExtraPeer[] {
    const nowMs = this.#components.now();
    for (const [key, untilMs] of this.#finishing) if (untilMs < nowMs) this.#finishing.delete(key);
    const keys = [
      ...this.#components.tokens.list().map(({ oneTimePublicKey }) => oneTimePublicKey),
      ...this.#finishing.keys(),
    ];
    return keys.map((publicKey) => ({ publicKey, meshIp: meshIp(publicKey) }));
  }

  /** `machine init`: founds a cluster of this machine alone. */
  init({ range = defaultRange, endpoints }: InitRequest): Promise<InfoAnswer> {
    return this.#once(async () => {
      const { replica, facts, startCluster, info } = this.#components;
      await replica.found({ ...(await facts(endpoints)), range });
      await startCluster();
      return info();
    });
  }

  /** `machine token`: a token for one machine, good until it expires. */
  async token(): Promise<TokenAnswer> {
    const { identity, replica, tokens, applyMesh, now } = this.#components;
    const { cluster } = replica;
    replica.refuseRemoved();
    const own = replica.get(`m/${identity.machine}`)?.value as MachineRecord | null | undefined;
    if (cluster === undefined || own === undefined || own === null) {
      throw new TscError('E_CLUSTER_NONE', 'this machine belongs to no cluster yet', {
        hint: 'run `tsc-compose machine init` here first',
      });
    }
    const issuer = {
      id: identity.machine,
      publicKey: identity.publicKey,
      wgPublicKey: identity.wgPublicKey,
      meshIp: identity.meshIp,
      endpoints: own.endpoints,
      port: meshPort,
    };
    const issued = issueToken({ cluster, range: own.admission.range, issuer }, now());
    await tokens.add(issued.pending);
    await applyMesh();
    return { token: encodeToken(issued.token), expiresMs: issued.token.expiresMs };
  }

  /** `machine join TOKEN`: enters the issuer's cluster. */
  join({ token: text, endpoints }: JoinRequest): Promise<InfoAnswer> {
    return this.#once(async () => {
      const { replica, facts, startCluster, info, now } = this.#components;
      const token = decodeToken(text, now());
      replica.mustBeAlone();
      const ownFacts = await facts(endpoints);
      await this.#inTunnel(token, async (post) => {
        const { publicKey, wgPublicKey } = this.#components.identity;
        const answer = await post({ step: 'admit', secret: token.secret, publicKey, wgPublicKey });
        // What the issuer signed is checked by `replica.join`; the rest is a shape of our own.
        await replica.join(answer as JoinAnswer, ownFacts);
        await post({ step: 'enter', record: replica.packedOwnRecord() ?? '' });
      });
      await startCluster();
      return info();
    });
  }

  /** Answers a joiner; it speaks from the mesh address of a one-time key. */
  async onJoin(body: unknown, remoteAddress: string): Promise<unknown> {
    const { replica, tokens, applyMesh, now, log } = this.#components;
    const { step, secret, publicKey, wgPublicKey, record } = (body ?? {}) as Partial<
      Record<string, unknown>
    >;
    if (step === 'enter' && typeof record === 'string') {
      replica.offerPacked([record]);
      return {};
    }
    if (step !== 'admit' || !isText(secret) || !isKey(publicKey) || !isKey(wgPublicKey)) {
      throw new TscError('E_JOIN_REQUEST', 'the request to join is malformed', {
        hint: 'use the same version of tsc-compose on both machines',
      });
    }
    const joiner = JSON.stringify([secret, publicKey, wgPublicKey]);
    const nowMs = now();
    for (const [key, { untilMs }] of this.#admitted) {
      if (untilMs < nowMs) this.#admitted.delete(key);
    }
    const before = this.#admitted.get(joiner);
    if (before !== undefined) return before.answer;
    const used = await tokens.use(secret);
    this.#finishing.set(used.oneTimePublicKey, now() + finishMs);
    const answer = replica.admit({ publicKey, wgPublicKey });
    this.#admitted.set(joiner, { answer, untilMs: now() + finishMs });
    await applyMesh();
    log.info('admitted a machine', { machine: answer.admission.machine, from: remoteAddress });
    return answer;
  }

  /** One founding or joining at a time. */
  async #once<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isChanging) {
      throw new TscError('E_CLUSTER_BUSY', 'this machine is joining a cluster at this moment');
    }
    this.#isChanging = true;
    try {
      return await work();
    } finally {
      this.#isChanging = false;
    }
  }

  async #inTunnel(
    token: JoinToken,
    work: (post: (body: JoinBody) => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    const { runDir, log } = this.#components;
    const oneTimeIp = meshIp(x25519PublicKey(token.oneTimeKey));
    const { issuer } = token;
    const driver = new WireguardDriver({
      privateKey: token.oneTimeKey,
      device: joinDevice,
      listenPort: 0,
      runtimeDir: runDir,
      log: log.part('join'),
    });
    try {
      await driver.set({
        device: joinDevice,
        listenPort: 0,
        addresses: [`${oneTimeIp}/128`],
        mtu: meshMtu,
        peers: [
          {
            publicKey: issuer.wgPublicKey,
            endpoints: issuer.endpoints,
            allowedIps: [`${issuer.meshIp}/128`],
            keepaliveSeconds: 5,
          },
        ],
        routes: [{ destination: `${issuer.meshIp}/128`, source: oneTimeIp }],
      });
      await work((body) => this.#post(token, body));
    } finally {
      await driver.cleanUp();
    }
  }

  /** Posts until the issuer answers: the first packets go into a tunnel that is not up yet. */
  async #post(token: JoinToken, body: JoinBody): Promise<unknown> {
    const { issuer } = token;
    const endMs = this.#components.now() + joinTimeoutMs;
    for (;;) {
      try {
        return await postJson(issuer.meshIp, issuer.port, body);
      } catch (cause) {
        // What the issuer itself answers is final; only silence is tried again.
        if (cause instanceof TscError) throw cause;
        if (this.#components.now() > endMs) {
          throw new TscError(
            'E_JOIN_UNREACHABLE',
            'the machine that made the token does not answer',
            {
              hint: `is UDP to ${issuer.endpoints.join(' or ')} open from here, and its agent running?`,
              cause,
            },
          );
        }
        await sleep(joinRetryMs);
      }
    }
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isKey(value: unknown): value is string {
  return typeof value === 'string' && Buffer.from(value, 'base64').length === 32;
}

/** 3 s: a lost SYN is sent again after 1 s. */
const postTimeoutMs = 3_000;

function postJson(host: string, port: number, body: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host,
        port,
        path: '/join',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        agent: false,
        timeout: postTimeoutMs,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          try {
            const answer = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
            if (response.statusCode === 200) return resolve(answer);
            reject(errorFrom(answer));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}

/** The issuer's error, as our own: code, sentence and hint are its. */
function errorFrom({ code, message, hint }: Record<string, unknown>): TscError {
  return new TscError(
    typeof code === 'string' && code.startsWith('E_') ? (code as `E_${string}`) : 'E_JOIN_ANSWER',
    typeof message === 'string' ? message : 'the other machine refused',
    typeof hint === 'string' ? { hint } : {},
  );
}
