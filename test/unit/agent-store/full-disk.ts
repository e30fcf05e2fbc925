/**
 * Runs the shipping store on a disk that fills up, in a mount namespace of its own (the parent starts
 * it so). Prints one line of JSON with what happened.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Store } from '../../../agent/store.ts';
import { aRecord } from '../gossip/builders.ts';

const [dir = ''] = process.argv.slice(2);
const path = join(dir, 'records.db');
const filler = join(dir, 'filler');
const acknowledged: string[] = [];
let failure = '';
let failureCount = 0;
let store = await Store.open({ path });

async function write(key: string): Promise<boolean> {
  try {
    const record = aRecord({ key, value: { text: 'x'.repeat(4000) } });
    await store.put({ records: [record], forgotten: [], lastHlc: 1, isDurable: true });
    acknowledged.push(key);
    return true;
  } catch (error) {
    // The code is what users see.
    failure = (error as { readonly code?: string }).code ?? String(error);
    failureCount++;
    return false;
  }
}

writeFileSync(filler, Buffer.alloc(600 << 10));
let index = 0;
// A 2 MiB disk with 600 KiB taken: full long before a thousand records of 4 kB.
while (index < 1000 && (await write(`app/${index}`))) index++;
const countWhenFull = acknowledged.length;
// Full stays full, and is said each time.
await write('app/again');
rmSync(filler);
const isRecovered = await write('app/after');
await store.close(2);
store = await Store.open({ path });
const found = new Set(store.opened.records.map(({ key }) => key));
const lost = acknowledged.filter((key) => !found.has(key));
process.stdout.write(
  `${JSON.stringify({ failure, failureCount, countWhenFull, isRecovered, lost, problem: store.opened.problem ?? null })}\n`,
);
await store.close(3);
