/**
 * One machine's gossip as a process of its own: identity, store, replica and mesh exactly as
 * agent/agent.ts starts them, without engine, WireGuard, firewall, DNS and Caddy. It listens on its
 * real mesh address. The parent speaks with it over Node's own channel.
 */
import { join } from 'node:path';
import { createVerify, loadIdentity } from '../../../agent/identity.ts';
import { MeshClient } from '../../../agent/mesh-client.ts';
import { MeshServer } from '../../../agent/mesh-server.ts';
import { AgentReplica, type JoinAnswer } from '../../../agent/replica.ts';
import { Store } from '../../../agent/store.ts';
import type { MachineFacts } from '../../../src/gossip/admission.ts';
import { meshIp } from '../../../src/lib/mesh-address.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import { meshPort } from '../../../src/model/names.ts';
import { type MachineRecord, recordKey } from '../../../src/model/record.ts';
import { monotonicMs } from './sightings.ts';

/** What the parent asks for; each is answered by `done` with the same id. */
export type Command = { readonly id: number } & (
  | { readonly type: 'found' }
  | { readonly type: 'admit'; readonly publicKey: string; readonly wgPublicKey: string }
  | { readonly type: 'join'; readonly answer: JoinAnswer }
  | { readonly type: 'write'; readonly update: string }
  | { readonly type: 'resolve' }
  | { readonly type: 'count' }
);

/** What it tells. */
export type Message =
  | { readonly type: 'ready' }
  | ({ readonly type: 'done'; readonly id: number } & Done)
  | { readonly type: 'update'; readonly update: string; readonly atMs: number }
  | {
      readonly type: 'state';
      readonly machine: MachineId;
      readonly isAlive: boolean;
      readonly atMs: number;
    };

/** What came of a command. */
export interface Done {
  /** Of `admit`. */
  readonly answer?: JoinAnswer;
  /** Of `count`: links that this process has lost so far. */
  readonly lostLinkCount?: number;
}

const updateKey = 'op/bench/update';

function tell(message: Message): void {
  process.send?.(message);
}

async function run(dir: string, name: string): Promise<void> {
  const identity = await loadIdentity(dir);
  const store = await Store.open({
    path: join(dir, 'records.db'),
    workerUrl: new URL('./store-worker.js', import.meta.url),
  });
  const report = (text: string): void => void process.stderr.write(`${text}\n`);
  const verify = createVerify();
  const replica = new AgentReplica({ identity, verify, store, report });
  const server = new MeshServer(
    {
      replica,
      signer: identity,
      verify,
      report,
      onRpc: (duplex) => duplex.destroy(),
      onJoin: () => Promise.resolve(null),
    },
    { host: identity.meshIp, port: meshPort },
  );
  const client = new MeshClient({
    replica,
    signer: identity,
    verify,
    reach: (machine) => {
      // As in the agent: bodies of `m/` records were checked when they entered the map.
      const record = replica.get(recordKey.machine(machine))?.value as MachineRecord | undefined;
      return record && { host: meshIp(record.wgPublicKey), port: meshPort };
    },
  });
  const alive = new Map<MachineId, boolean>();
  replica.subscribe((keys) => {
    const atMs = monotonicMs();
    if (keys.includes(updateKey)) {
      const update = String(replica.get(updateKey)?.value);
      tell({ type: 'update', update, atMs });
    }
    for (const [machine, liveness] of replica.liveness()) {
      const isAlive = liveness === 'reachable';
      if (machine === identity.machine || alive.get(machine) === isAlive) continue;
      alive.set(machine, isAlive);
      tell({ type: 'state', machine, isAlive, atMs });
    }
  });
  await server.start();
  replica.start(client.dial);
  const facts: MachineFacts = {
    name,
    endpoints: [],
    platform: 'linux/amd64',
    cpuCount: 2,
    memoryBytes: 1 << 30,
    versions: { agent: '0.1.0', engine: '28.0.0', protocol: 1, plan: 1 },
  };
  const obey = async (command: Command): Promise<Done> => {
    switch (command.type) {
      case 'found':
        await replica.found({ ...facts, range: '10.210.0.0/16' });
        return {};
      case 'admit':
        return { answer: replica.admit(command) };
      case 'join':
        await replica.join(command.answer, facts);
        return {};
      case 'write':
        await replica.write(updateKey, command.update);
        return {};
      case 'resolve':
        // Only where it is asked for: the memory of the gossip alone is measured elsewhere.
        await (await import('../disk/resolver.ts')).startResolver();
        return {};
      case 'count':
        return { lostLinkCount: replica.gossipStatus().lostLinkCount };
    }
  };
  // Only the parent is at the other end of the channel.
  process.on('message', (command: Command) => {
    void obey(command).then((done) => tell({ type: 'done', id: command.id, ...done }));
  });
  process.on('disconnect', () => process.exit(0));
  tell({ type: 'ready' });
}

const [dir = '', name = ''] = process.argv.slice(2);
await run(dir, name);
