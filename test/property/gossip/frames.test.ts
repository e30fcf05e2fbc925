/** A short run of what `npm run fuzz -- frames` does for hours. */
import { expect, test } from 'vitest';
import { createVerify } from '../../../agent/identity.ts';
import { verifyRecord } from '../../../src/gossip/admission.ts';
import { encodeFrame } from '../../../src/gossip/frame.ts';
import { theCast } from '../../fuzz/frames/cast.ts';
import { Victim } from '../../fuzz/frames/victim.ts';
import { collector, newTally, runCase } from '../../fuzz/frames.ts';

test.each([1, 2])('hostile members neither break an agent nor forge a record: seed %i', (seed) => {
  const tally = newTally();
  expect(runCase(seed, tally, collector(), 1500)).toEqual([]);
  // A run that gets nothing in or never gets a link closed attacks nothing.
  expect(tally.acceptedCount).toBeGreaterThan(50);
  expect(tally.bannedCount).toBeGreaterThan(50);
  expect(tally.kinds.size).toBe(10);
  expect(tally.types.size).toBe(9);
});

test('the fuzz sees a forgery: what an agent that checks nothing would accept', () => {
  const cast = theCast();
  const victim = new Victim(cast, 1);
  const [first] = cast.genuine;
  if (first === undefined) throw new Error('no record');
  const forged = { ...first, hlc: first.hlc + 1 };
  victim.deliver({ records: [forged], forgotten: [] });
  expect(victim.faults.join()).toContain('wrong signature');
  // The victim itself refuses it and closes the link.
  const [hostile] = cast.hostile;
  const link = victim.connect(hostile?.machine ?? cast.victim.machine);
  victim.receive(link, encodeFrame({ type: 'records', records: [forged] }));
  expect(victim.isOpen(link)).toBe(false);
  const key = cast.honest[0]?.publicKey ?? '';
  expect(verifyRecord(cast.cluster, key, first, createVerify())).toBe(true);
});
