/**
 * Rulesets through the nft process that is kept while they change, with the real program in a network
 * namespace of its own: what the agent takes for loaded is in force, whatever happens to the process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../agent/log.ts';
import { KeptNft, type KeptNftOptions } from '../../agent/nft-loader.ts';
import { type RunCommand, tryCommand } from '../../agent/run-command.ts';
import { Namespace } from '../bench/gossip/namespace.ts';
import { ensurePackages, toolPath } from '../lab/packages.ts';
import { testFolder } from './test-folder.ts';

async function whyNot(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'nft is tested in a network namespace, as root';
  try {
    await ensurePackages('bookworm');
    return undefined;
  } catch (error) {
    return String(error);
  }
}

const reason = await whyNot();
if (reason !== undefined) process.stderr.write(`skipped: ${reason}\n`);

const table = 'inet shop';

/** A whole ruleset as the agent makes them, with one rule to know it by. */
function ruleset(port: number, last = ''): string {
  return `table ${table}
delete table ${table}
table ${table} {
  chain input {
    type filter hook input priority 0; policy accept;
    tcp dport ${port} drop
  }
}
${last}
`;
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

describe.skipIf(reason !== undefined)('the nft process that is kept', () => {
  let namespace: Namespace;
  let nft: string;
  let folder: string;
  let lines: string[];
  let spawned: string[];
  let loader: KeptNft;
  const all: KeptNft[] = [];

  beforeAll(async () => {
    namespace = await Namespace.create();
    nft = toolPath(await ensurePackages('bookworm'), 'nft');
  });
  afterAll(() => namespace?.destroy());
  beforeEach(() => {
    folder = testFolder('nft');
    lines = [];
    spawned = [];
    loader = aLoader();
  });
  afterEach(async () => {
    for (const one of all.splice(0)) await one.end();
    rmSync(folder, { recursive: true, force: true });
  });

  const inside = (argv: readonly string[]) =>
    namespace.inside(argv.map((word) => (word === 'nft' ? nft : word)));
  const run: RunCommand = (argv, options) => {
    spawned.push(argv.join(' '));
    return tryCommand(inside(argv), options);
  };

  function aLoader(more: Partial<KeptNftOptions> = {}): KeptNft {
    const log = createLog((line) => lines.push(line), 'debug');
    const argv = inside(['nft', '-i']);
    // A busy machine is no reason for another process.
    const times = { idleMs: 600_000, timeoutMs: 60_000 };
    const made = new KeptNft({ table, runtimeDir: folder, run, log, argv, ...times, ...more });
    all.push(made);
    return made;
  }

  /** A program that takes the place of `nft -i`. */
  function aProgram(text: string): readonly string[] {
    const path = join(folder, 'program');
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return inside([path]);
  }

  const inForce = () => namespace.run([nft, 'list', 'table', ...table.split(' ')]);

  test('loads one ruleset after the other, without another start and without traces', async () => {
    await loader.load(ruleset(1001));
    const { pid } = loader;
    expect(pid).toBeDefined();
    for (let port = 1002; port < 1030; port++) {
      await loader.load(ruleset(port));
      expect(await inForce()).toContain(`tcp dport ${port} drop`);
    }
    expect(loader.pid).toBe(pid);
    expect(spawned).toEqual([]);
    expect(lines).toEqual([]);
    // What proves that a ruleset is in force does not stay in it.
    expect((await inForce()).match(/chain \w+/gu)).toEqual(['chain input']);
    expect(statSync(join(folder, 'ruleset.nft')).mode & 0o777).toBe(0o600);
  });

  test('an error in the last line changes nothing, and is told as nft tells it', async () => {
    await loader.load(ruleset(1001));
    for (const [bad, told] of [
      ['add rule inet shop input jump nowhere', 'No such file or directory'],
      ['add rule inet shop input tcp dport "no such port', 'syntax error'],
      ['}', 'syntax error'],
    ] as const) {
      const refused = loader.load(ruleset(2002, bad));
      await expect(refused).rejects.toMatchObject({ code: 'E_COMMAND_FAILED' });
      await expect(refused).rejects.toThrow(told);
      expect(await inForce()).toContain('tcp dport 1001 drop');
      expect(await inForce()).not.toContain('2002');
    }
    // It was nft's word: the short cut is taken again.
    spawned.length = 0;
    await loader.load(ruleset(1003));
    expect(await inForce()).toContain('tcp dport 1003 drop');
    expect(spawned).toEqual([]);
  });

  test('a process that was killed is replaced', async () => {
    await loader.load(ruleset(1001));
    const { pid } = loader;
    process.kill(pid ?? 0, 'SIGKILL');
    await expect.poll(() => isAlive(pid ?? 0), { timeout: 30_000 }).toBe(false);
    await loader.load(ruleset(1002));
    expect(await inForce()).toContain('tcp dport 1002 drop');
    await loader.load(ruleset(1003));
    expect(await inForce()).toContain('tcp dport 1003 drop');
    expect(loader.pid).toBeDefined();
    expect(loader.pid).not.toBe(pid);
  });

  test('a ruleset is in force although the process ends, hangs or lies half-way', async () => {
    const ways = [
      // Ends after it loaded it, and before it loaded it.
      `read line; echo "$line" | "${nft}" -f - ; kill -9 $$`,
      'read line; kill -9 $$',
      'exec sleep 600',
      // Takes everything, does nothing and complains about the last line only.
      'while read -r line; do last=$line; case $line in tsc-*) break;; esac; done\n' +
        'printf "Error: not done\\nError: mark\\n%s\\n" "$last" >&2; cat',
    ];
    for (const [index, way] of ways.entries()) {
      const port = 3000 + index;
      const one = aLoader({ argv: aProgram(way), timeoutMs: 1_000 });
      await one.load(ruleset(port));
      expect(await inForce()).toContain(`tcp dport ${port} drop`);
      expect(spawned.splice(0)).toEqual(['nft -f -']);
      expect(one.pid).toBeUndefined();
      expect(lines.splice(0).join('\n')).toContain('replaced');
    }
  });

  test('a ruleset that silently did not come into force is noticed', async () => {
    // Loses the first command; the rest is the real program's.
    const one = aLoader({ argv: aProgram(`read line; exec "${nft}" -i`) });
    await loader.load(ruleset(1001));
    await one.load(ruleset(1002));
    expect(await inForce()).toContain('tcp dport 1002 drop');
    expect(spawned).toEqual(['nft -f -']);
  });

  test('an nft that takes no commands from its input is started for each change, which is said once', async () => {
    const starts = join(folder, 'starts');
    const unfit = aProgram(
      `echo >>"${starts}"; echo "Error: interactive CLI not supported in this build" >&2; exit 1`,
    );
    const one = aLoader({ argv: unfit });
    for (const port of [1001, 1002, 1003]) {
      await one.load(ruleset(port));
      expect(await inForce()).toContain(`tcp dport ${port} drop`);
    }
    expect(spawned).toEqual(['nft -f -', 'nft -f -', 'nft -f -']);
    expect(readFileSync(starts, 'utf8')).toBe('\n');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('interactive CLI not supported in this build');
  });

  test('one that is never any good is given up after some changes', async () => {
    const one = aLoader({ argv: aProgram('read line; kill -9 $$') });
    for (const port of [1001, 1002, 1003, 1004]) await one.load(ruleset(port));
    expect(lines.filter((line) => line.includes('cannot be kept running'))).toHaveLength(1);
    expect(lines).toHaveLength(3);
  });

  test('ends when nothing has changed for a while, and is there again for the next change', async () => {
    const one = aLoader({ idleMs: 100 });
    await one.load(ruleset(1001));
    const pid = one.pid ?? 0;
    await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
    expect(one.pid).toBeUndefined();
    await one.load(ruleset(1002));
    expect(await inForce()).toContain('tcp dport 1002 drop');
    expect(spawned).toEqual([]);
  });

  test('ends with an agent that is killed', async () => {
    const source = join(import.meta.dirname, '../../agent/nft-shell.ts');
    const program = `import { NftShell } from ${JSON.stringify(source)};
      const argv = ${JSON.stringify(inside(['nft', '-i']))};
      const shell = new NftShell({ directory: '/', argv });
      console.log(JSON.stringify({ pid: shell.pid, said: await shell.run(['add table inet x'], 30000) }));
      setInterval(() => undefined, 1000);`;
    const agent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(agent.stdout, 'data');
    const { pid, said } = JSON.parse(String(line));
    expect(said).toBe('');
    expect(isAlive(pid)).toBe(true);
    agent.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
    await namespace.run([nft, 'delete', 'table', 'inet', 'x']);
  });

  test('keeps no history of commands', async () => {
    const home = process.env.HOME;
    process.env.HOME = folder;
    try {
      await loader.load(ruleset(1001));
    } finally {
      process.env.HOME = home;
    }
    const pid = loader.pid ?? 0;
    await loader.end();
    await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('ends with the agent, and takes its file along', async () => {
    await loader.load(ruleset(1001));
    const pid = loader.pid ?? 0;
    await loader.end();
    await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
    expect(existsSync(join(folder, 'ruleset.nft'))).toBe(false);
    expect(await inForce()).toContain('tcp dport 1001 drop');
  });
});
