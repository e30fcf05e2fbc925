/** The demo as CI and a newcomer run it: every figure that it prints is held to what it has to be. */
import { resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Lab, labUnavailable } from '../lab/lab.ts';
import { run } from '../lab/run.ts';

const root = resolve(import.meta.dirname, '../..');
/** 4 min: one to one and a half on a quiet machine, whose packages are unpacked already. */
const demoMs = 240_000;

const chosen = process.env.TSC_COMPOSE_ENGINE ?? '28.5';
const reason = chosen === '28.5' ? await labUnavailable('28.5') : 'it runs on engine 28.5 only';
if (reason !== undefined) process.stderr.write(`skipped: the demo: ${reason}\n`);

const demo = (word: string) =>
  run(['sh', 'scripts/run', 'demo', word], { cwd: root, timeoutMs: demoMs });

afterAll(() => {
  Lab.cleanLeftovers('demo');
});

test.skipIf(reason !== undefined)(
  'the demo shows what it promises, and nothing is left after its end',
  async () => {
    const shown = await demo('--auto');
    expect(shown.code, `${shown.stdout}${shown.stderr}`).toBe(0);
    expect(shown.stdout).toContain('npm run demo -- down');
    expect(Lab.leftovers('demo')).not.toEqual([]);
    const ended = await demo('down');
    expect(ended).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('nothing of it is left'),
    });
    expect(Lab.leftovers('demo')).toEqual([]);
  },
  demoMs + 60_000,
);
