/**
 * Dials other agents in the mesh: gossip links for the replica, and byte streams for RPC. How a
 * dial fails is told apart with care: a kernel that refuses is alive, one that is silent is not
 * (design: headless and unreachable).
 */
import { Agent, type ClientRequestArgs } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { DialFailure } from '../src/gossip/runtime.ts';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import { type HelloComponents, type MeshPath, type RejectCode, shakeHands } from './hello.ts';
import { asDuplex, handshakeTimeoutMs, socketOptions } from './mesh-socket.ts';
import type { AgentReplica } from './replica.ts';

/** Where a machine's agent listens; undefined when that is not known. */
export type Reach = (
  machine: MachineId,
) => { readonly host: string; readonly port: number } | undefined;

export interface MeshClientComponents extends Omit<HelloComponents, 'members'> {
  readonly replica: AgentReplica;
  readonly reach: Reach;
}

type DialResult =
  | { readonly isUp: true; readonly socket: WebSocket }
  | { readonly isUp: false; readonly failure: DialFailure; readonly why: string };

export class MeshClient {
  readonly #components: MeshClientComponents;
  readonly #dialling = new Set<MachineId>();
  /** Open RPC streams, to be ended when their machine falls silent. */
  readonly #streams = new Map<MachineId, Set<Duplex>>();

  constructor(components: MeshClientComponents) {
    this.#components = components;
  }

  /** Dials for the replica, which learns the outcome. */
  readonly dial = (machine: MachineId): void => {
    if (this.#dialling.has(machine)) return;
    this.#dialling.add(machine);
    const { replica } = this.#components;
    this.#open(
      machine,
      '/gossip',
      () => replica.dialReached(machine),
      (result) => {
        this.#dialling.delete(machine);
        if (result.isUp) replica.adopt(result.socket, machine, true);
        else replica.dialFailed(machine, result.failure);
      },
    );
  };

  /**
   * A byte stream to another agent's API.
   * @throws TscError E_MACHINE_UNREACHABLE
   */
  connectRpc(machine: MachineId): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      this.#open(machine, '/rpc', noop, (result) => {
        if (result.isUp) return resolve(this.#keep(machine, asDuplex(result.socket)));
        const message = `the agent of machine ${machine} cannot be reached: ${result.why}`;
        reject(new TscError('E_MACHINE_UNREACHABLE', message));
      });
    });
  }

  /**
   * Ends the RPC streams to a machine that is silent: TCP would let callers wait for minutes. Calls
   * end with the error of a closed connection; new ones may be tried.
   */
  endStreams(machine: MachineId): void {
    for (const stream of this.#streams.get(machine) ?? []) {
      stream.destroy(new Error('the other machine has fallen silent'));
    }
  }

  /** The same, of machines that were removed: nothing of theirs comes through any more. */
  endStreamsOfRemoved(): void {
    for (const machine of this.#streams.keys()) {
      if (this.#components.replica.isRemoved(machine)) this.endStreams(machine);
    }
  }

  #keep(machine: MachineId, stream: Duplex): Duplex {
    const streams = this.#streams.get(machine) ?? new Set();
    this.#streams.set(machine, streams);
    streams.add(stream);
    stream.once('close', () => streams.delete(stream));
    return stream;
  }

  /** An agent for `http.request` whose connections go to one machine. */
  rpcAgent(machine: MachineId): Agent {
    const connectRpc = (): Promise<Duplex> => this.connectRpc(machine);
    class RpcAgent extends Agent {
      override createConnection(
        _options: ClientRequestArgs,
        callback?: (error: Error | null, stream: Duplex) => void,
      ): undefined {
        connectRpc().then(
          (duplex) => callback?.(null, duplex),
          // The type asks for a stream beside an error as well; Node reads it only where there is none.
          (error: Error) => callback?.(error, undefined as unknown as Duplex),
        );
        return undefined;
      }
    }
    return new RpcAgent({ keepAlive: false });
  }

  #open(
    machine: MachineId,
    path: MeshPath,
    onReached: () => void,
    done: (result: DialResult) => void,
  ): void {
    const { reach, signer, verify, replica } = this.#components;
    const target = reach(machine);
    if (target === undefined) {
      setImmediate(() => done({ isUp: false, failure: 'silent', why: 'no address is known' }));
      return;
    }
    const { host, port } = target;
    let isReached = false;
    let isDone = false;
    const finish = (result: DialResult): void => {
      if (isDone) return;
      isDone = true;
      done(result);
    };
    const fail = (failure: DialFailure, why: string): void => {
      finish({ isUp: false, failure, why });
    };
    const address = host.includes(':') ? `[${host}]` : host;
    const socket = new WebSocket(`ws://${address}:${port}${path}`, {
      ...socketOptions,
      // A mask of zeros: nothing is to be masked. Masks keep scripts in browsers from writing what a
      // proxy takes for a request; here there are neither, and byte by byte it would be the hottest
      // loop of the agent, for which alone the optimizing compilers were brought into memory (7 MB).
      generateMask: () => undefined,
      handshakeTimeout: handshakeTimeoutMs,
      createConnection: () => {
        const connection = connect({ host, port, noDelay: true });
        // The handshake's own limit begins when there is a connection. Without one here, a machine
        // that sends nothing back is waited for by the kernel, for two minutes.
        const limit = setTimeout(() => {
          connection.destroy(new Error(`no connection within ${handshakeTimeoutMs} ms`));
        }, handshakeTimeoutMs);
        connection.once('close', () => clearTimeout(limit));
        connection.once('connect', () => {
          clearTimeout(limit);
          isReached = true;
          onReached();
        });
        return connection;
      },
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const isAnswered = isReached || error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET';
      fail(isAnswered ? 'answered' : 'silent', error.message || (error.code ?? 'no connection'));
    });
    socket.once('open', () => {
      const options = { path, expected: machine, timeoutMs: handshakeTimeoutMs };
      shakeHands(socket, { signer, verify, members: replica }, options, (result) => {
        if (result.isUp) finish({ isUp: true, socket });
        else fail(failureOf(result.code), result.code);
      });
    });
  }
}

/** A handshake that breaks off shows a kernel; a code shows an agent. */
function failureOf(code: RejectCode): DialFailure {
  return code === 'timeout' || code === 'closed' || code === 'busy' ? 'answered' : 'rejected';
}

function noop(): void {
  // RPC connections tell nobody that a kernel answered.
}
