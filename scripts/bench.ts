/**
 * `npm run bench -- NAME [--json]`: runs test/bench/NAME.ts and prints its figures, each beside a
 * peer measured in the same run where there is one. Exit code 1 when a goal was missed.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../test/bench/figure.ts';
import { type Figure, formatFigures } from '../test/bench/figure.ts';
import { root } from './lib/steps.ts';

const folder = join(root, 'test/bench');
const [name, ...flags] = process.argv.slice(2);
const file = join(folder, `${name}.ts`);
if (name === undefined || name === 'figure' || !existsSync(file)) {
  const names = readdirSync(folder)
    .filter((f) => f.endsWith('.ts') && f !== 'figure.ts')
    .map((f) => f.slice(0, -3));
  process.stderr.write(`usage: npm run bench -- NAME [--json]\nnames: ${names.join(', ')}\n`);
  process.exit(2);
}
const { bench } = (await import(file)) as { readonly bench: Bench };
const figures: readonly Figure[] = await bench((line) => process.stderr.write(`${line}\n`));
process.stdout.write(
  flags.includes('--json')
    ? `${JSON.stringify({ name, figures })}\n`
    : formatFigures(name, figures),
);
process.exit(figures.every((figure) => figure.ok) ? 0 : 1);
