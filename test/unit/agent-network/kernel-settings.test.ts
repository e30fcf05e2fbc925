import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { kernelSettings } from '../../../agent/kernel-settings.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsc-kernel-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

test('a setting is read and written as a file', async () => {
  const file = put('proc/sys/net/ipv4/ip_forward', '0\n');
  const kernel = kernelSettings(root);
  expect(await kernel.sysctl(['net', 'ipv4', 'ip_forward'])).toBe('0');
  expect(await kernel.setSysctl(['net', 'ipv4', 'ip_forward'], '1')).toBe(true);
  expect(readFileSync(file, 'utf8')).toBe('1');
});

test('what the kernel does not have is told, and not made', async () => {
  const kernel = kernelSettings(root);
  const name = ['net', 'ipv4', 'conf', 'tsc-br', 'route_localnet'];
  expect(await kernel.sysctl(name)).toBeUndefined();
  expect(await kernel.setSysctl(name, '1')).toBe(false);
  expect(await kernel.sysctl(name)).toBeUndefined();
});

test('every port of the bridge gets its hairpin, and no other device', async () => {
  const first = put('sys/class/net/tsc-br/brif/veth1/hairpin_mode', '0\n');
  const second = put('sys/class/net/tsc-br/brif/veth2/hairpin_mode', '1\n');
  const foreign = put('sys/class/net/docker0/brif/veth3/hairpin_mode', '0\n');
  mkdirSync(join(root, 'sys/class/net/tsc-br/brif/just-gone'));
  await kernelSettings(root).setHairpin('tsc-br');
  expect([first, second, foreign].map((file) => readFileSync(file, 'utf8'))).toEqual([
    '1',
    '1\n',
    '0\n',
  ]);
});

test('a machine without the bridge has no ports', async () => {
  await expect(kernelSettings(root).setHairpin('tsc-br')).resolves.toBeUndefined();
});

test('a port that was found to be set is believed for ten seconds, unless it has gone meanwhile', async () => {
  let nowMs = 0;
  const kernel = kernelSettings(root, () => nowMs);
  const file = put('sys/class/net/tsc-br/brif/veth1/hairpin_mode', '0\n');
  await kernel.setHairpin('tsc-br');
  writeFileSync(file, '0');
  nowMs = 9_000;
  await kernel.setHairpin('tsc-br');
  expect(readFileSync(file, 'utf8')).toBe('0');
  nowMs = 10_000;
  await kernel.setHairpin('tsc-br');
  expect(readFileSync(file, 'utf8')).toBe('1');
  rmSync(dirname(file), { recursive: true });
  await kernel.setHairpin('tsc-br');
  put('sys/class/net/tsc-br/brif/veth1/hairpin_mode', '0\n');
  await kernel.setHairpin('tsc-br');
  expect(readFileSync(file, 'utf8')).toBe('1');
});
