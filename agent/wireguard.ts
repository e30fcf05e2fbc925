/**
 * Drives the WireGuard device: takes the whole configuration, compares it with the device and
 * changes the difference. It decides nothing but which of a silent peer's endpoints is tried next.
 * Stopping the driver leaves the device as it is, so that containers keep talking.
 */
import { isDeepStrictEqual } from 'node:util';
import { TscError } from '../src/lib/errors.ts';
import type { MeshConfig } from '../src/render/mesh.ts';
import { LinkDriver } from './link.ts';
import type { Log } from './log.ts';
import { type RunCommand, tryCommand } from './run-command.ts';
import type { DevicePeer, PeerChange, WireguardControl } from './wireguard-control.ts';
import {
  type Attempt,
  firstAttempts,
  isEstablished,
  planPeers,
  rotateEndpoints,
} from './wireguard-plan.ts';
import { ensureDevice, removeDevice } from './wireguard-process.ts';

/** 2 s for one endpoint: a handshake takes one round trip, the slowest paths 0.6 s. */
const rotationMs = 2_000;

/** 20 s: how long an unchanged device is believed to be as it was left. */
const trustMs = 20_000;

export interface WireguardOptions {
  /** Base64, 32 bytes. */
  readonly privateKey: string;
  readonly device: string;
  /** 0: any. */
  readonly listenPort: number;
  readonly runtimeDir: string;
  readonly log: Log;
  readonly run?: RunCommand;
}

export interface PeerStatus extends DevicePeer {
  readonly isEstablished: boolean;
}

export class WireguardDriver {
  readonly #options: WireguardOptions;
  readonly #run: RunCommand;
  readonly #link: LinkDriver;
  #control: WireguardControl | undefined;
  #config: MeshConfig | undefined;
  #appliedMs = Number.NEGATIVE_INFINITY;
  #attempts: ReadonlyMap<string, Attempt> = new Map();
  #timer: NodeJS.Timeout | undefined;
  /** One change at a time: `set`, the rotation and `cleanUp` follow one another. */
  #queue: Promise<void> = Promise.resolve();
  readonly #refused = new Set<string>();

  constructor(options: WireguardOptions) {
    this.#options = options;
    this.#run = options.run ?? tryCommand;
    this.#link = new LinkDriver(options.device, this.#run);
  }

  /**
   * Makes the device as configured; resolved when it is.
   * @throws TscError E_WIREGUARD_MISSING, E_COMMAND_FAILED
   */
  set(config: MeshConfig): Promise<void> {
    return this.#serial(async () => {
      const isFresh = performance.now() - this.#appliedMs < trustMs;
      if (isFresh && isDeepStrictEqual(config, this.#config)) return;
      this.#config = config;
      await this.#apply(config);
      this.#appliedMs = performance.now();
      this.#watch();
    });
  }

  /** The device's peers as they are now; empty while there is no device. */
  async status(): Promise<readonly PeerStatus[]> {
    if (this.#control === undefined) return [];
    const state = await this.#control.read();
    const nowMs = Date.now();
    return state.peers.map((peer) => ({ ...peer, isEstablished: isEstablished(peer, nowMs) }));
  }

  /** Stops trying endpoints; the device stays. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#config = undefined;
    await this.#queue;
  }

  /** Removes the device and its process, also those of an earlier agent. */
  async cleanUp(): Promise<void> {
    await this.stop();
    await this.#serial(async () => {
      this.#control = undefined;
      await removeDevice(this.#processOptions());
    });
  }

  async #apply(config: MeshConfig): Promise<void> {
    const control = await ensureDevice(this.#processOptions());
    this.#control = control;
    const state = await control.read();
    const { privateKey, listenPort } = this.#options;
    await control.change({
      ...(state.privateKey === privateKey ? {} : { privateKey }),
      // Port 0 lets the kernel choose, once: asking again would move an open socket.
      ...(listenPort === 0 || state.listenPort === listenPort ? {} : { listenPort }),
      peers: [],
    });
    const changes = planPeers(state, config);
    await this.#changePeers(control, changes);
    this.#attempts = firstAttempts(changes, this.#attempts, performance.now());
    await this.#link.set(config);
  }

  /** One peer at a time: an endpoint whose name does not resolve must not stop the others. */
  async #changePeers(control: WireguardControl, changes: readonly PeerChange[]): Promise<void> {
    for (const change of changes) {
      try {
        await control.change({ peers: [change] });
        this.#refused.delete(change.publicKey);
      } catch (error) {
        if (change.endpoint === undefined) throw error;
        const { endpoint, ...rest } = change;
        if (!this.#refused.has(change.publicKey)) {
          this.#options.log.warn('endpoint refused', { endpoint, error });
        }
        this.#refused.add(change.publicKey);
        await control.change({ peers: [rest] });
      }
    }
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#serial(() => this.#rotate()).finally(() => {
        if (this.#config !== undefined) this.#watch();
      });
    }, rotationMs);
    this.#timer.unref();
  }

  async #rotate(): Promise<void> {
    const config = this.#config;
    const control = this.#control;
    if (config === undefined || control === undefined) return;
    try {
      const state = await control.read();
      const rotation = rotateEndpoints(state, config, this.#attempts, {
        nowMs: Date.now(),
        monotonicMs: performance.now(),
      });
      this.#attempts = rotation.attempts;
      await this.#changePeers(control, rotation.changes);
    } catch (error) {
      // The process behind the device may have died: everything is made anew.
      this.#options.log.warn('the WireGuard device does not answer', { error });
      await this.#apply(config).catch((cause: unknown) => {
        if (!(cause instanceof TscError)) throw cause;
        this.#options.log.error('the WireGuard device cannot be made', { error: cause });
      });
    }
  }

  #processOptions(): Parameters<typeof ensureDevice>[0] {
    const { device, runtimeDir, log } = this.#options;
    return { device, runtimeDir, log, run: this.#run };
  }

  #serial(work: () => Promise<void>): Promise<void> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
