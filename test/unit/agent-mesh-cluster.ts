/**
 * Real agents' replicas on loopback: real WebSockets, real keys, real SQLite files; only the
 * address of a machine is a port of 127.0.0.1.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createVerify, type Identity, loadIdentity } from '../../agent/identity.ts';
import { MeshClient } from '../../agent/mesh-client.ts';
import { MeshServer } from '../../agent/mesh-server.ts';
import { AgentReplica } from '../../agent/replica.ts';
import { Store } from '../../agent/store.ts';
import type { MachineFacts } from '../../src/gossip/admission.ts';
import type { MachineId } from '../../src/model/ids.ts';

export interface TestAgent {
  readonly identity: Identity;
  readonly replica: AgentReplica;
  readonly client: MeshClient;
  readonly server: MeshServer;
  readonly reports: string[];
  /** As if the process were killed: sockets end, nothing is said. */
  kill(): Promise<void>;
}

export function facts(name: string): MachineFacts {
  return {
    name,
    endpoints: ['192.0.2.1:51820'],
    platform: 'linux/amd64',
    cpuCount: 2,
    memoryBytes: 1 << 30,
    versions: { agent: '0.1.0', engine: '28.0.0', protocol: 1, plan: 1 },
  };
}

export class TestCluster {
  readonly #ports = new Map<MachineId, number>();
  readonly #agents = new Set<TestAgent>();
  readonly #dirs: string[] = [];
  onRpc: (duplex: Duplex, peer: MachineId) => void = (duplex) => duplex.destroy();
  onJoin: (body: unknown, remoteAddress: string) => Promise<unknown> = () => Promise.resolve(null);

  async newDir(): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'tsc-mesh-'));
    this.#dirs.push(dir);
    return dir;
  }

  /**
   * Starts an agent on a data directory; members of a cluster gossip at once.
   * @param isCopy peers do not find it, it finds them: a second machine with the same identity
   */
  async agent(dir: string, isCopy = false): Promise<TestAgent> {
    const identity = await loadIdentity(dir);
    const store = await Store.open({ path: join(dir, 'records.db') });
    const reports: string[] = [];
    const report = (text: string): void => {
      reports.push(text);
    };
    const verify = createVerify();
    const replica = new AgentReplica({ identity, verify, store, report });
    const server = new MeshServer(
      {
        replica,
        signer: identity,
        verify,
        onRpc: (duplex, peer) => this.onRpc(duplex, peer),
        onJoin: (body, from) => this.onJoin(body, from),
        report,
      },
      { host: '127.0.0.1', port: isCopy ? 0 : (this.#ports.get(identity.machine) ?? 0) },
    );
    const client = new MeshClient({
      replica,
      signer: identity,
      verify,
      reach: (machine) => {
        const port = this.#ports.get(machine);
        return port === undefined ? undefined : { host: '127.0.0.1', port };
      },
    });
    const port = await server.start();
    if (!isCopy) this.#ports.set(identity.machine, port);
    replica.start(client.dial);
    const agent: TestAgent = {
      identity,
      replica,
      client,
      server,
      reports,
      kill: async () => {
        this.#agents.delete(agent);
        replica.kill();
        await server.stop();
        await store.close(0);
      },
    };
    this.#agents.add(agent);
    return agent;
  }

  /** A cluster of this many machines; the first founds it. */
  async of(count: number): Promise<TestAgent[]> {
    const agents: TestAgent[] = [];
    for (let index = 0; index < count; index++) agents.push(await this.agent(await this.newDir()));
    const first = agents[0];
    if (first === undefined) return agents;
    await first.replica.found({ ...facts('m1'), range: '10.210.0.0/16' });
    for (const [index, agent] of agents.entries()) {
      if (index > 0)
        await agent.replica.join(first.replica.admit(agent.identity), facts(`m${index + 1}`));
    }
    return agents;
  }

  portOf(machine: MachineId): number | undefined {
    return this.#ports.get(machine);
  }

  async end(): Promise<void> {
    for (const agent of this.#agents) await agent.kill();
    for (const dir of this.#dirs) await rm(dir, { recursive: true, force: true });
  }
}

/** Waits until a condition holds; fails with what was there instead. */
export async function until(what: string, holds: () => boolean, timeoutMs = 10_000): Promise<void> {
  const endMs = Date.now() + timeoutMs;
  while (!holds()) {
    if (Date.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
