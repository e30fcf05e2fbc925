/** `npm run check`: types, lint, format, unused code, generated files. Stops at the first that fails. */
import { run, step } from './lib/steps.ts';

try {
  await step('check: types', () => run('tsc', ['--noEmit']));
  await step('check: lint', () => run('oxlint', ['--type-aware', '--deny-warnings']));
  await step('check: format', () => run('biome', ['ci', '--colors=off', '--max-diagnostics=5']));
  await step('check: unused code', () => run('knip', ['--no-progress']));
  await step('check: generated files', async () => {
    await run('node', ['scripts/generate-schemas.ts', '--check']);
    await run('node', ['scripts/compose-support.ts', '--check']);
  });
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
