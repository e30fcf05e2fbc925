/**
 * The WireGuard device itself: the kernel's where there is one, else `wireguard-go` as a process of
 * its own, which outlives the agent so that containers keep talking while it is replaced. Under
 * systemd a child dies with its unit, so it becomes a transient unit there. One that runs already
 * is reused.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TscError } from '../src/lib/errors.ts';
import type { Log } from './log.ts';
import { isProgramMissing, type RunCommand, runCommand } from './run-command.ts';
import { programControl, socketControl, type WireguardControl } from './wireguard-control.ts';

/** 5 s for wireguard-go to open its socket; it takes some 20 ms. */
const startTimeoutMs = 5_000;
const startPollMs = 20;
/** Fixed in every userspace implementation. */
const socketFolder = '/var/run/wireguard';

export interface WireguardProcessOptions {
  readonly device: string;
  /** For the log and the pid of the userspace process. */
  readonly runtimeDir: string;
  readonly run: RunCommand;
  readonly log: Log;
}

/**
 * Makes sure that the device exists.
 * @returns how to configure it
 * @throws TscError E_WIREGUARD_MISSING when neither the kernel nor wireguard-go can make it
 */
export async function ensureDevice(options: WireguardProcessOptions): Promise<WireguardControl> {
  const { device, run } = options;
  const socketPath = join(socketFolder, `${device}.sock`);
  if (await deviceExists(device, run)) {
    if (await isListening(socketPath)) return socketControl(socketPath);
    if (await isKernelDevice(device, run)) return programControl(device, run);
    // A tunnel that nobody serves: what a killed wireguard-go never leaves, but others may.
    await runCommand(run, ['ip', 'link', 'del', device]);
  }
  const made = await run(['ip', 'link', 'add', device, 'type', 'wireguard']);
  if (made.code === 0) return programControl(device, run);
  await startUserspace(options, made.stderr.trim());
  const deadlineMs = performance.now() + startTimeoutMs;
  while (performance.now() < deadlineMs) {
    if ((await deviceExists(device, run)) && (await isListening(socketPath))) {
      return socketControl(socketPath);
    }
    await sleep(startPollMs);
  }
  throw new TscError('E_WIREGUARD_MISSING', `wireguard-go did not open ${socketPath}`, {
    hint: `see ${logPath(options)}`,
  });
}

/** Deletes the device and ends the process behind it, also one that an earlier agent started. */
export async function removeDevice(options: WireguardProcessOptions): Promise<void> {
  const { device, run } = options;
  // wireguard-go ends by itself when its device has gone.
  if (await deviceExists(device, run)) await runCommand(run, ['ip', 'link', 'del', device]);
  await rm(join(socketFolder, `${device}.sock`), { force: true });
  await rm(pidPath(options), { force: true });
}

async function startUserspace(options: WireguardProcessOptions, why: string): Promise<void> {
  const { device, run, log, runtimeDir } = options;
  await mkdir(runtimeDir, { recursive: true });
  await mkdir(socketFolder, { recursive: true });
  log.info('the kernel makes no WireGuard device; starting wireguard-go', { why });
  if (await isSystemd()) {
    const unitName = `tsc-compose-wireguard-${device}`;
    await run(['systemctl', 'reset-failed', `${unitName}.service`]);
    const unit = [
      'systemd-run',
      '--quiet',
      '--collect',
      `--unit=${unitName}`,
      'wireguard-go',
      '-f',
    ];
    const result = await run([...unit, device]);
    if (result.code === 0) return;
    log.warn('systemd-run failed; wireguard-go becomes a child', { error: result.stderr.trim() });
  }
  const file = await open(logPath(options), 'a');
  try {
    const child = spawn('wireguard-go', ['-f', device], {
      detached: true,
      stdio: ['ignore', file.fd, file.fd],
      env: { ...process.env, LOG_LEVEL: 'error', WG_PROCESS_FOREGROUND: '1' },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', () => resolve());
      child.once('error', reject);
    });
    child.unref();
    await writeFile(pidPath(options), `${child.pid}\n`);
  } catch (cause) {
    throw new TscError('E_WIREGUARD_MISSING', `no WireGuard on this machine: ${why}`, {
      hint: 'use a kernel with WireGuard, or install wireguard-go',
      cause,
    });
  } finally {
    await file.close();
  }
}

async function deviceExists(device: string, run: RunCommand): Promise<boolean> {
  return (await run(['ip', 'link', 'show', 'dev', device])).code === 0;
}

async function isKernelDevice(device: string, run: RunCommand): Promise<boolean> {
  const details = await runCommand(run, ['ip', '-details', 'link', 'show', 'dev', device]);
  if (!/^\s+wireguard\b/m.test(details)) return false;
  try {
    await runCommand(run, ['wg', 'show', device, 'listen-port']);
    return true;
  } catch (error) {
    if (!isProgramMissing(error)) throw error;
    throw new TscError('E_PROGRAM_MISSING', 'the program "wg" is not installed', {
      hint: 'install wireguard-tools: the kernel has WireGuard, and `wg` configures it',
      cause: error,
    });
  }
}

function isListening(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function isSystemd(): Promise<boolean> {
  try {
    await access('/run/systemd/system', constants.R_OK);
    // Inside a container or a lab machine the folder may be visible without being in charge.
    return (await readFile('/proc/1/comm', 'utf8')).trim() === 'systemd';
  } catch {
    return false;
  }
}

function logPath(options: WireguardProcessOptions): string {
  return join(options.runtimeDir, `wireguard-${options.device}.log`);
}

function pidPath(options: WireguardProcessOptions): string {
  return join(options.runtimeDir, `wireguard-${options.device}.pid`);
}
