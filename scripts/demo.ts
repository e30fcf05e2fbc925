/**
 * `npm run demo`: three machines on this one, an app on them, a power cut, an update.
 *   -- --auto   without reading time, for tests; every figure that is printed is checked anyway
 *   -- down     ends the machines and leaves nothing
 */
import { formatError, TscError } from '../src/lib/errors.ts';
import { demo, down } from '../test/demo/main.ts';

const words = process.argv.slice(2);
const [word] = words;
if (words.length > 1 || (word !== undefined && word !== '--auto' && word !== 'down')) {
  process.stderr.write('usage: npm run demo [-- --auto | -- down]\n');
  process.exit(2);
}
const hint = 'The machines are kept as they are. To end them: npm run demo -- down\n';
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    process.stderr.write(`\ninterrupted. ${hint}`);
    process.exit(130);
  });
}
try {
  process.exitCode = word === 'down' ? down() : await demo({ isAuto: word === '--auto' });
} catch (error) {
  const text = error instanceof TscError ? formatError(error) : String(error);
  process.stderr.write(`${text}\n${hint}`);
  process.exitCode = 1;
}
