/**
 * `npm run fuzz -- NAME [--seconds N] [--cases N] [--count N] [--seed S]`: runs test/fuzz/NAME.ts on
 * random cases until the time or the number is used up (60 s unless given). Where a case holds many
 * inputs, `--count` is the number of inputs. A failed case is printed with the command that repeats
 * it. Exit code 1 when a case failed.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FuzzModule } from '../test/fuzz/fuzz.ts';
import { root } from './lib/steps.ts';

const folder = join(root, 'test/fuzz');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    cases: { type: 'string' },
    count: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});
const [name = ''] = positionals;
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.ts') && existsSync(join(folder, file.slice(0, -3))))
  .map((file) => file.slice(0, -3));
if (!names.includes(name)) {
  process.stderr.write(
    'usage: npm run fuzz -- NAME [--seconds N] [--cases N] [--count N] [--seed S]\n',
  );
  process.stderr.write(`names: ${names.join(', ')}\n`);
  process.exit(2);
}
const { fuzz, inputsPerCase = 1 } = (await import(join(folder, `${name}.ts`))) as FuzzModule;
const wantedCount =
  values.count === undefined ? values.cases : Math.ceil(Number(values.count) / inputsPerCase);
const limits =
  wantedCount === undefined
    ? { seconds: Number(values.seconds ?? 60), caseCount: Number.POSITIVE_INFINITY }
    : { seconds: Number(values.seconds ?? 24 * 3600), caseCount: Number(wantedCount) };
const { caseCount, failedSeeds, notes } = await fuzz({
  ...limits,
  seed: Number(values.seed),
  progress: (line) => process.stderr.write(`${line}\n`),
});
for (const seed of failedSeeds) {
  process.stdout.write(`repeat: npm run fuzz -- ${name} --cases 1 --seed ${seed}\n`);
}
for (const note of notes) process.stdout.write(`${note}\n`);
process.stdout.write(`${caseCount} cases, ${failedSeeds.length} differences\n`);
process.exit(failedSeeds.length === 0 && caseCount > 0 ? 0 : 1);
