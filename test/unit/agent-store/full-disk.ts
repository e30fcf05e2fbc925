/**
 * Runs the shipping store, and a replica above it, on a disk that fills up, in a mount namespace of
 * its own (the parent starts it so). Prints one line of JSON with what happened.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createIdentity, createVerify } from '../../../agent/identity.ts';
import { AgentReplica } from '../../../agent/replica.ts';
import { Store } from '../../../agent/store.ts';
import { recordKey } from '../../../src/model/record.ts';
import { aRecord } from '../gossip/builders.ts';

const [scene = '', dir = ''] = process.argv.slice(2);
const path = join(dir, 'records.db');
const filler = join(dir, 'filler');
/** 30 s: what takes two seconds on a quiet machine. */
const patienceMs = 30_000;
/** 200 ms: a full disk refuses within one. */
const refusedMs = 200;

function codeOf(error: unknown): string {
  // The code is what users see.
  return (error as { readonly code?: string }).code ?? String(error);
}

/** Takes what room there is, to the last block. */
function fill(): void {
  for (let sizeBytes = 4 << 20, index = 0; sizeBytes >= 1024; index++) {
    try {
      writeFileSync(join(dir, `filler-${index}`), Buffer.alloc(sizeBytes));
    } catch {
      // What did not fit is cut off where the disk ended, or tried smaller.
      sizeBytes >>= 1;
    }
  }
}

function makeRoom(): void {
  for (let index = 0; index < 100; index++) rmSync(join(dir, `filler-${index}`), { force: true });
}

/** Batches until it is full, and after it. */
async function storeAlone(): Promise<unknown> {
  const acknowledged: string[] = [];
  let failure = '';
  let failureCount = 0;
  let store = await Store.open({ path });
  const write = async (key: string): Promise<boolean> => {
    try {
      const record = aRecord({ key, value: { text: 'x'.repeat(4000) } });
      await store.put({ records: [record], forgotten: [], lastHlc: 1, isDurable: true });
      acknowledged.push(key);
      return true;
    } catch (error) {
      failure = codeOf(error);
      failureCount++;
      return false;
    }
  };
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
  const problem = store.opened.problem ?? null;
  await store.close(3);
  return { failure, failureCount, countWhenFull, isRecovered, lost, problem };
}

/** An agent that starts while its disk is full: nothing beside the file fits. */
async function startOnFull(): Promise<unknown> {
  const record = aRecord({ key: 'app/kept', value: { text: 'x'.repeat(4000) } });
  let store = await Store.open({ path });
  await store.put({ records: [record], forgotten: [], lastHlc: 1, isDurable: true });
  await store.close(1);
  fill();
  store = await Store.open({ path });
  const keysWhenFull = store.opened.records.map(({ key }) => key);
  const problem = store.opened.problem ?? null;
  const more = { records: [{ ...record, key: 'app/more' }], forgotten: [], lastHlc: 2 };
  const failure = await store.put({ ...more, isDurable: true }).then(() => '', codeOf);
  makeRoom();
  await store.put({ ...more, isDurable: true });
  await store.close(2);
  store = await Store.open({ path });
  const keysAfter = store.opened.records.map(({ key }) => key);
  await store.close(3);
  return { keysWhenFull, problem, failure, keysAfter };
}

/** A whole replica: what it refuses, what it remembers, and that it goes on by itself. */
async function replicaAbove(): Promise<unknown> {
  const identity = await createIdentity();
  const components = { identity, verify: createVerify(), report: () => undefined };
  let store = await Store.open({ path });
  const replica = new AgentReplica({ ...components, store });
  const versions = { agent: '0', engine: '0', protocol: 1, plan: 1 };
  const facts = { name: 'a', endpoints: [], platform: 'linux/amd64', cpuCount: 1, memoryBytes: 1 };
  await replica.found({ ...facts, versions, range: '10.210.0.0/16' });
  await replica.write('app/shop', { version: 1 });
  fill();
  const text = 'x'.repeat(200_000);
  const failure = await replica.write('app/shop', { version: 2, text }).then(() => '', codeOf);
  const versionWhenFull = replica.get('app/shop')?.value;
  // Nobody waits for what is only observed: it must get there by itself.
  const seen = recordKey.container(identity.machine, 'seen');
  replica.observe(seen, { name: 'seen', text });
  await until(() => !replica.gossipStatus().isDiskFine);
  // By then it has been tried, while the disk was full.
  await sleep(refusedMs);
  const isCounted = replica.gossipStatus().undurableCount > 0;
  makeRoom();
  // Nothing is written here: the agent itself has to try again.
  await until(() => replica.gossipStatus().isDiskFine);
  await until(() => replica.gossipStatus().undurableCount === 0);
  await replica.write('app/shop', { version: 3 });
  await replica.stop({ reason: 'restart', expectBackMs: 0 });
  store = await Store.open({ path });
  const keys = new Set(store.opened.records.map(({ key }) => key));
  const problem = store.opened.problem ?? null;
  const again = new AgentReplica({ ...components, store });
  const versionAfter = again.get('app/shop')?.value;
  await store.close(0);
  return {
    failure,
    versionWhenFull,
    isCounted,
    isSeenKept: keys.has(seen),
    versionAfter,
    problem,
  };
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = Date.now() + patienceMs;
  while (!holds()) {
    if (Date.now() > endMs) throw new Error('not in time');
    await sleep(10);
  }
}

const scenes: Readonly<Record<string, () => Promise<unknown>>> = {
  storeAlone,
  startOnFull,
  replicaAbove,
};
const result = await scenes[scene]?.();
process.stdout.write(`${JSON.stringify(result)}\n`);
