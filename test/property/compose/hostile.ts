/**
 * Projects that mean harm, each a maker of files, since some are large. Run as a program it loads
 * some of them and prints how each ended, how long that took and how much memory it took at most:
 * both can be measured only in a process of its own.
 */
import { readFileSync } from 'node:fs';
import { loadProject, type ProjectReader } from '../../../src/compose/index.ts';
import { TscError } from '../../../src/lib/errors.ts';

export interface Outcome {
  readonly name: string;
  readonly code: string;
  readonly tookMs: number;
  readonly peakMiB: number;
}

export type Files = Readonly<Record<string, string | Uint8Array>>;

const service = 'services:\n  a:\n    image: i\n';

/** Nine aliases of nine aliases, so many levels deep. */
function aliasBomb(levelCount: number, start: string): string {
  const level = (index: number): string =>
    `x-${index}: &a${index} ${
      index === 0
        ? start
        : `[${Array(9)
            .fill(`*a${index - 1}`)
            .join(', ')}]`
    }\n`;
  return Array.from({ length: levelCount }, (_, index) => level(index)).join('') + service;
}

const deep = 3000;
const large = 10_000_000;

export const hostileProjects: Readonly<Record<string, () => Files>> = {
  'a bomb of lists': () => ({ 'compose.yaml': aliasBomb(9, '[x, x, x]') }),
  'a bomb of mappings': () => ({
    'compose.yaml': `x-0: &a0 {k: v}\n${Array.from(
      { length: 9 },
      (_, i) =>
        `x-${i + 1}: &a${i + 1} {${'abcdefghi'
          .split('')
          .map((key) => `${key}: *a${i}`)
          .join(', ')}}\n`,
    ).join('')}${service}`,
  }),
  'a bomb of merge keys': () => ({
    'compose.yaml': `x-0: &a0 {k: v}\n${Array.from(
      { length: 12 },
      (_, i) => `x-${i + 1}: &a${i + 1} {<<: [${Array(9).fill(`*a${i}`).join(', ')}], k${i}: v}\n`,
    ).join('')}${service}`,
  }),
  'an alias of itself': () => ({ 'compose.yaml': `x-a: &a [*a]\n${service}` }),
  'brackets nested deep': () => ({
    'compose.yaml': `x-a: ${'['.repeat(deep)}${']'.repeat(deep)}\n${service}`,
  }),
  'braces nested deep': () => ({
    'compose.yaml': `x-a: ${'{a: '.repeat(deep)}1${'}'.repeat(deep)}\n${service}`,
  }),
  'blocks nested deep': () => ({
    'compose.yaml': `${service}x-a:\n${Array.from({ length: deep }, (_, i) => `${' '.repeat(i + 1)}a:\n`).join('')}`,
  }),
  'lists nested deep in a block': () => ({
    'compose.yaml': `${service}x-a:\n  ${'- '.repeat(deep)}x\n`,
  }),
  'brackets never closed': () => ({ 'compose.yaml': `${service}x-a: ${'['.repeat(deep)}` }),
  'variables nested deep': () => ({
    'compose.yaml': `services:\n  a:\n    image: "${'${A:-'.repeat(deep)}x${'}'.repeat(deep)}"\n`,
  }),
  'one line of 10 MB': () => ({
    'compose.yaml': `services:\n  a:\n    image: ${'x'.repeat(large)}\n`,
  }),
  'a comment of 10 MB': () => ({
    'compose.yaml': `${service}${`# ${'y'.repeat(97)}\n`.repeat(large / 100)}`,
  }),
  'services of 10 MB': () => ({
    'compose.yaml': `services:\n${Array.from(
      { length: large / 100 },
      (_, i) =>
        `  s${String(i).padStart(6, '0')}:\n    image: registry.example.com/team/app:1.0.0\n    labels: {a: "b", c: "d", e: "f"}\n`,
    ).join('')}`,
  }),
  'a list of 10 MB': () => ({ 'compose.yaml': `${service}x-a:\n${'- x\n'.repeat(large / 4)}` }),
  'quotes of 10 MB': () => ({ 'compose.yaml': `${service}x-a: "${'\\n'.repeat(large / 2)}\n` }),
  'dollars of 10 MB': () => ({
    'compose.yaml': `services:\n  a:\n    image: "${'${'.repeat(large / 2)}"\n`,
  }),
  'documents of 10 MB': () => ({ 'compose.yaml': `${'---\n'.repeat(large / 4)}${service}` }),
  'an env file of 10 MB': () => ({
    'compose.yaml': `${service}    env_file: e\n`,
    e: 'A=${A}${A}x\n'.repeat(large / 12),
  }),
  'a variable that doubles with each line': () => ({
    'compose.yaml': `${service}    env_file: e\n`,
    e: `A0=xxxxxxxx\n${Array.from({ length: 60 }, (_, i) => `A${i + 1}=\${A${i}}\${A${i}}\n`).join('')}`,
  }),
  'bytes that are no UTF-8': () => ({
    'compose.yaml': Buffer.concat([Buffer.from(service), Buffer.from([0xff, 0xfe, 0xc0])]),
  }),
  'NUL bytes': () => ({ 'compose.yaml': `services:\n  a\0b:\n    image: "x\0y"\n` }),
  'a surrogate alone': () => ({
    'compose.yaml': Buffer.concat([Buffer.from('x-a: "'), Buffer.from([0xed, 0xa0, 0x80, 0x22])]),
  }),
  'nothing at all': () => ({ 'compose.yaml': '' }),
  'a service that extends itself': () => ({
    'compose.yaml': 'services:\n  a:\n    extends: a\n',
  }),
  'a circle of extends through files': () => ({
    'compose.yaml': 'services:\n  a:\n    extends: {file: b.yaml, service: b}\n',
    'b.yaml': 'services:\n  b:\n    extends: {file: compose.yaml, service: a}\n',
  }),
  'a chain of extends': () => ({
    'compose.yaml': `services:\n${Array.from({ length: deep }, (_, i) => `  s${i}: {extends: s${i + 1}}\n`).join('')}  s${deep}: {image: i}\n`,
  }),
  'a file that includes itself': () => ({
    'compose.yaml': `include: [compose.yaml]\n${service}`,
  }),
  'a circle of includes': () => ({
    'compose.yaml': `include: [b.yaml]\n${service}`,
    'b.yaml': 'include: [c.yaml]\n',
    'c.yaml': 'include: [b.yaml]\n',
  }),
  'a chain of dependencies': () => ({
    'compose.yaml': `services:\n${Array.from({ length: deep }, (_, i) => `  s${i}: {image: i, depends_on: [s${i + 1}]}\n`).join('')}  s${deep}: {image: i}\n`,
  }),
  'a range of all ports': () => ({
    'compose.yaml': `${service}    ports: [${Array.from({ length: 60 }, (_, i) => `"127.0.0.${i}:1-65535:1-65535"`).join(', ')}]\n`,
  }),
  'a missing file': () => ({ 'compose.yaml': 'include: [nowhere.yaml]\n' }),
  'a number of a million digits': () => ({
    'compose.yaml': `${service}    mem_limit: ${'9'.repeat(1_000_000)}\n`,
  }),
  'blanks before a comment sign': () => ({
    'compose.yaml': `${service}x-a: ${' '.repeat(500_000)}a${' '.repeat(500_000)}b\n`,
  }),
  'as many services as the limits allow': () => ({
    'compose.yaml': `services:\n${Array.from(
      { length: 4_400 },
      (_, i) => `  s${i}:\n    image: i\n    labels: {a: "b", c: "d", e: "f"}\n`,
    ).join('')}`,
  }),
  'as long a list as the limits allow': () => ({
    'compose.yaml': `${service}x-a:\n${'- x\n'.repeat(39_000)}`,
  }),
  'one line of 2 MB': () => ({
    'compose.yaml': `services:\n  a:\n    image: ${'x'.repeat(large * 0.2)}\n`,
  }),
  'quotes of 2 MB': () => ({ 'compose.yaml': `${service}x-a: "${'\\n'.repeat(large * 0.1)}"\n` }),
  'dollars of 2 MB': () => ({
    'compose.yaml': `services:\n  a:\n    image: "${'${'.repeat(large * 0.2)}"\n`,
  }),
  'variables of 2 MB': () => ({
    'compose.yaml': `services:\n  a:\n    image: "${'${A:-x}'.repeat(large * 0.025)}"\n`,
  }),
  'an env file of 2 MB': () => ({
    'compose.yaml': `${service}    env_file: e\n`,
    e: Array.from({ length: large / 100 }, (_, i) => `A${i}=\${B${i}:-x}\n`).join(''),
  }),
  'a comment of 2 MB': () => ({
    'compose.yaml': `${service}${`# ${'y'.repeat(97)}\n`.repeat(large / 500)}`,
  }),
  'a key of 10 MB': () => ({ 'compose.yaml': `${'k'.repeat(large)}: 1\n${service}` }),
};

/** Loads files that lie in memory; whatever is thrown must be a coded error. */
export function loadHostile(files: Files): string {
  const reader: ProjectReader = {
    readFile: (path) => {
      const file = files[path.slice('/project/'.length)];
      return typeof file === 'string' ? Buffer.from(file) : file;
    },
    isDirectory: (path) => path === '/project' || path === '/',
  };
  try {
    loadProject({ cwd: '/project', environment: {} }, reader);
    return 'loaded';
  } catch (error) {
    if (error instanceof TscError) return error.code;
    return `crashed: ${error instanceof Error ? String(error.stack) : String(error)}`;
  }
}

if (import.meta.main) {
  // The peak only grows, so that a project is charged with what those before it needed as well.
  const outcomes = process.argv.slice(2).map((name): Outcome => {
    const files = hostileProjects[name]?.() ?? {};
    const before = process.cpuUsage();
    const code = loadHostile(files);
    // Of the processor, not of the clock: other programs must not make this fail.
    const cpu = process.cpuUsage(before);
    return {
      name,
      code,
      tookMs: (cpu.user + cpu.system) / 1000,
      peakMiB: peakMiB(),
    };
  });
  process.stdout.write(JSON.stringify(outcomes));
}

/** Of this program alone: `getrusage` gives a child the peak of the process that it was made by. */
function peakMiB(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
