/**
 * The documents say what is true: commands in them exist, links lead somewhere, Compose files in
 * them and in samples/ load and are honoured. What a command does is shown end to end.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commandTable } from '../../../src/cli/command-table.ts';
import { FsReader } from '../../../src/cli/fs-reader.ts';
import { checkSupport, loadProject, type ProjectReader } from '../../../src/compose/index.ts';

const root = resolve(import.meta.dirname, '../../..');
const documents = [
  'README.md',
  'test/lab/README.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'));

const textOf = (name: string): string => readFileSync(join(root, name), 'utf8');

/** Fenced blocks of a language, by document. */
function blocks(language: RegExp): { name: string; text: string }[] {
  return documents.flatMap((name) =>
    [...textOf(name).matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)]
      .filter(([, fence]) => language.test(fence ?? ''))
      .map(([, , text]) => ({ name, text: text ?? '' })),
  );
}

describe('the documents', () => {
  test('npm scripts that they name exist', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = documents.flatMap((name) =>
      [...textOf(name).matchAll(/npm run ([\w-]+)/g)].map(([, script]) => script ?? ''),
    );
    expect(named.length).toBeGreaterThan(2);
    expect([...new Set(named)].filter((script) => scripts[script] === undefined)).toEqual([]);
  });

  test('commands of tsc-compose that they name exist', () => {
    const known = new Set(commandTable.flatMap(({ name, aliases }) => [name, ...aliases]));
    const named = documents.flatMap((name) =>
      [...textOf(name).matchAll(/`tsc-compose ([a-z]+)|\$ +tsc-compose ([a-z]+)/g)].map(
        ([, quoted, shell]) => quoted ?? shell ?? '',
      ),
    );
    expect(named.length).toBeGreaterThan(5);
    expect([...new Set(named)].filter((command) => !known.has(command))).toEqual([]);
  });

  test('links to files lead somewhere', () => {
    const broken = documents.flatMap((name) =>
      [...textOf(name).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
        .map(([, target]) => target ?? '')
        .filter((target) => !existsSync(join(root, dirname(name), target)))
        .map((target) => `${name}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  test('Compose files in them load, and every key is honoured', () => {
    for (const { name, text } of blocks(/^ya?ml$/)) {
      if (!text.includes('services:')) continue;
      const reader: ProjectReader = {
        readFile: (path) => (path === '/doc/compose.yaml' ? Buffer.from(text) : undefined),
        isDirectory: (path) => path === '/doc',
      };
      const { project, positions } = loadProject({ cwd: '/doc', environment: {} }, reader);
      const refused = checkSupport(project, positions).filter((key) => key.verdict === 'refused');
      expect(refused, name).toEqual([]);
    }
  });
});

describe('the samples', () => {
  test.each(readdirSync(join(root, 'samples')))('%s loads, and every key is honoured', (sample) => {
    const { project, positions, warnings } = loadProject(
      { cwd: join(root, 'samples', sample), environment: {} },
      new FsReader(),
    );
    expect(warnings).toEqual([]);
    expect(project.name).toBe(sample);
    const refused = checkSupport(project, positions).filter((key) => key.verdict === 'refused');
    expect(refused).toEqual([]);
  });
});
