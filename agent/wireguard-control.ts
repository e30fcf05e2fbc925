/**
 * Two ways to configure a WireGuard device, with one meaning: the text protocol on the unix socket
 * of a userspace implementation (no program needed, 4 ms), and `wg` for the kernel's. Keys are
 * base64 here; the text protocol writes them in hexadecimal.
 */
import { connect } from 'node:net';
import { TscError } from '../src/lib/errors.ts';
import { type RunCommand, runCommand } from './run-command.ts';

/** 3 s: the other end is a process on this machine. */
const socketTimeoutMs = 3_000;

export interface DevicePeer {
  readonly publicKey: string;
  /** Where packets go now; undefined when unknown. */
  readonly endpoint: string | undefined;
  readonly allowedIps: readonly string[];
  readonly keepaliveSeconds: number;
  /** 0 while there never was one. */
  readonly latestHandshakeMs: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface DeviceState {
  readonly privateKey: string | undefined;
  readonly listenPort: number;
  readonly peers: readonly DevicePeer[];
}

export interface PeerChange {
  readonly publicKey: string;
  readonly remove?: boolean;
  readonly endpoint?: string;
  /** Replaces the list. */
  readonly allowedIps?: readonly string[];
  readonly keepaliveSeconds?: number;
}

export interface DeviceChange {
  readonly privateKey?: string;
  readonly listenPort?: number;
  readonly peers: readonly PeerChange[];
}

export interface WireguardControl {
  read(): Promise<DeviceState>;
  /** Applies removals and additions in the order given. */
  change(change: DeviceChange): Promise<void>;
}

/** Over the socket that a userspace implementation listens on. */
export function socketControl(socketPath: string): WireguardControl {
  return {
    read: async () => parseSocketState(await exchange(socketPath, 'get=1\n\n')),
    change: async (change) => {
      await exchange(socketPath, `set=1\n${formatSocketChange(change)}\n`);
    },
  };
}

/** With the program `wg`. */
export function programControl(device: string, run: RunCommand): WireguardControl {
  return {
    read: async () => parseDump(await runCommand(run, ['wg', 'show', device, 'dump'])),
    change: async (change) => {
      for (const argv of formatProgramChange(device, change)) {
        const isKey = argv.includes('private-key');
        await runCommand(run, argv, isKey ? { input: change.privateKey ?? '' } : {});
      }
    },
  };
}

/** Lines of the text protocol after `set=1`. */
export function formatSocketChange(change: DeviceChange): string {
  const lines: string[] = [];
  if (change.privateKey !== undefined) lines.push(`private_key=${toHex(change.privateKey)}`);
  if (change.listenPort !== undefined) lines.push(`listen_port=${change.listenPort}`);
  for (const peer of change.peers) {
    lines.push(`public_key=${toHex(peer.publicKey)}`);
    if (peer.remove === true) {
      lines.push('remove=true');
      continue;
    }
    if (peer.endpoint !== undefined) lines.push(`endpoint=${peer.endpoint}`);
    if (peer.keepaliveSeconds !== undefined) {
      lines.push(`persistent_keepalive_interval=${peer.keepaliveSeconds}`);
    }
    if (peer.allowedIps !== undefined) {
      lines.push('replace_allowed_ips=true');
      for (const ip of peer.allowedIps) lines.push(`allowed_ip=${ip}`);
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Command lines of `wg`; the private key is read from standard input, never an argument. */
export function formatProgramChange(
  device: string,
  change: DeviceChange,
): readonly (readonly string[])[] {
  const commands: string[][] = [];
  if (change.privateKey !== undefined) {
    commands.push(['wg', 'set', device, 'private-key', '/dev/stdin']);
  }
  const argv = ['wg', 'set', device];
  if (change.listenPort !== undefined) argv.push('listen-port', `${change.listenPort}`);
  for (const peer of change.peers) {
    argv.push('peer', peer.publicKey);
    if (peer.remove === true) {
      argv.push('remove');
      continue;
    }
    if (peer.endpoint !== undefined) argv.push('endpoint', peer.endpoint);
    if (peer.keepaliveSeconds !== undefined) {
      argv.push('persistent-keepalive', `${peer.keepaliveSeconds}`);
    }
    if (peer.allowedIps !== undefined) argv.push('allowed-ips', peer.allowedIps.join(','));
  }
  return argv.length > 3 ? [...commands, argv] : commands;
}

/** Reads `wg show DEVICE dump`: tab-separated, the device first. */
export function parseDump(text: string): DeviceState {
  const [first = '', ...lines] = text.trimEnd().split('\n');
  const [privateKey, , listenPort] = first.split('\t');
  return {
    privateKey: plain(privateKey),
    listenPort: Number(listenPort ?? 0),
    peers: lines.filter(Boolean).map((line) => {
      const [publicKey = '', , endpoint, allowed, handshake, received, sent, keepalive] =
        line.split('\t');
      return {
        publicKey,
        endpoint: plain(endpoint),
        allowedIps: plain(allowed)?.split(',') ?? [],
        keepaliveSeconds: keepalive === 'off' ? 0 : Number(keepalive ?? 0),
        latestHandshakeMs: Number(handshake ?? 0) * 1_000,
        receivedBytes: Number(received ?? 0),
        sentBytes: Number(sent ?? 0),
      };
    }),
  };
}

function plain(text: string | undefined): string | undefined {
  return text === undefined || text === '' || text === '(none)' ? undefined : text;
}

/** Reads the answer to `get=1`. */
export function parseSocketState(text: string): DeviceState {
  let privateKey: string | undefined;
  let listenPort = 0;
  const peers: { -readonly [K in keyof DevicePeer]: DevicePeer[K] }[] = [];
  for (const line of text.split('\n')) {
    const split = line.indexOf('=');
    const name = line.slice(0, split);
    const value = line.slice(split + 1);
    if (name === 'private_key') privateKey = toBase64(value);
    if (name === 'listen_port') listenPort = Number(value);
    if (name === 'public_key') {
      peers.push({
        publicKey: toBase64(value),
        endpoint: undefined,
        allowedIps: [],
        keepaliveSeconds: 0,
        latestHandshakeMs: 0,
        receivedBytes: 0,
        sentBytes: 0,
      });
    }
    const peer = peers.at(-1);
    if (peer === undefined) continue;
    if (name === 'endpoint') peer.endpoint = value;
    if (name === 'allowed_ip') peer.allowedIps = [...peer.allowedIps, value];
    if (name === 'persistent_keepalive_interval') peer.keepaliveSeconds = Number(value);
    if (name === 'last_handshake_time_sec') peer.latestHandshakeMs += Number(value) * 1_000;
    if (name === 'last_handshake_time_nsec') {
      peer.latestHandshakeMs += Math.floor(Number(value) / 1_000_000);
    }
    if (name === 'rx_bytes') peer.receivedBytes = Number(value);
    if (name === 'tx_bytes') peer.sentBytes = Number(value);
  }
  return { privateKey: /^A+=$/.test(privateKey ?? '') ? undefined : privateKey, listenPort, peers };
}

function toHex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}

function toBase64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

function exchange(socketPath: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = '';
    const fail = (why: string, cause?: unknown) => {
      socket.destroy();
      reject(new TscError('E_WIREGUARD_SOCKET', `${socketPath}: ${why}`, { cause }));
    };
    socket.setTimeout(socketTimeoutMs, () => fail('no answer'));
    socket.on('error', (error) => fail(error.message, error));
    socket.on('connect', () => socket.write(request));
    socket.on('close', () => fail('closed without an answer'));
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (!text.endsWith('\n\n')) return;
      const errno = /^errno=(-?\d+)$/m.exec(text)?.[1];
      if (errno !== '0') {
        fail(`refused with errno ${errno ?? 'missing'}`);
        return;
      }
      resolve(text);
      socket.destroy();
    });
  });
}
