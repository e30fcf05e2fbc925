/**
 * Looks a name up again and again at the resolver of its namespace, one after the other, for so many
 * seconds; prints how long each look-up took as JSON. A look-up fails after five seconds.
 */
import { Resolver } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { lookedUpName } from './resolver.ts';

/** 5 ms: a few hundred look-ups of which the slowest hundredth says something. */
const pauseMs = 5;

const resolver = new Resolver({ timeout: 5000, tries: 1 });
resolver.setServers(['127.0.0.1']);
const endMs = performance.now() + Number(process.argv[2]) * 1000;
const tookMs: number[] = [];
let failedCount = 0;
// The first one loads what the others find loaded.
await resolver.resolve4(lookedUpName);
while (performance.now() < endMs) {
  const startMs = performance.now();
  await resolver.resolve4(lookedUpName).catch(() => failedCount++);
  tookMs.push(performance.now() - startMs);
  await sleep(pauseMs);
}
process.stdout.write(JSON.stringify({ tookMs, failedCount }));
