/**
 * Settings of the kernel's network, as files under /proc/sys and /sys. Starting `sysctl` or `ip` for
 * each costs an agent ten milliseconds of its only thread, and this is looked at with every container
 * that starts; a file costs a tenth of one. Both trees show the network namespace of the reader.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** 10 s: how long a port of a bridge is believed to be as it was found. */
const trustMs = 10_000;

export interface KernelSettings {
  /** @returns the value, undefined where the kernel does not have it (a device or module not there) */
  sysctl(name: readonly string[]): Promise<string | undefined>;
  /** @returns false where the kernel does not have it */
  setSysctl(name: readonly string[], value: string): Promise<boolean>;
  /** Lets every port of the bridge send a frame back to where it came from. */
  setHairpin(bridge: string): Promise<void>;
}

/**
 * @param root where /proc and /sys are: another folder in tests
 * @param now a clock in ms that nobody sets
 * @throws the file system's own error, but for what is not there
 */
export function kernelSettings(root = '/', now = () => performance.now()): KernelSettings {
  const sysctlFile = (name: readonly string[]) => join(root, 'proc/sys', ...name);
  /** Ports whose hairpin mode is on, and until when that is believed. */
  const hairpins = new Map<string, number>();
  return {
    sysctl: async (name) => (await presentOnly(readFile(sysctlFile(name), 'utf8')))?.trim(),
    setSysctl: async (name, value) => {
      const file = sysctlFile(name);
      const current = await presentOnly(readFile(file, 'utf8'));
      if (current === undefined) return false;
      if (current.trim() !== value) await writeFile(file, value);
      return true;
    },
    setHairpin: async (bridge) => {
      const ports = join(root, 'sys/class/net', bridge, 'brif');
      const names = (await presentOnly(readdir(ports))) ?? [];
      for (const port of hairpins.keys()) if (!names.includes(port)) hairpins.delete(port);
      for (const port of names) {
        if ((hairpins.get(port) ?? now()) > now()) continue;
        const file = join(ports, port, 'hairpin_mode');
        // The container may end at this moment, and its port with it.
        const mode = await presentOnly(readFile(file, 'utf8'));
        if (mode === undefined) continue;
        if (mode.trim() === '0') await presentOnly(writeFile(file, '1'));
        hairpins.set(port, now() + trustMs);
      }
    },
  };
}

/** ENODEV and EINVAL: the port left the bridge between opening its file and using it. */
const goneCodes: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENODEV', 'EINVAL']);

async function presentOnly<T>(access: Promise<T>): Promise<T | undefined> {
  try {
    return await access;
  } catch (error) {
    if (goneCodes.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
}
