import { expect, test } from 'vitest';
import type { MachineId } from '../../../src/model/ids.ts';
import type { ReplicatedRecord } from '../../../src/model/record.ts';
import { recordsToTakeOver } from '../../../src/view/take-over.ts';

// The brand is what tests may forge.
const [gone, other] = ['gone' as MachineId, 'other' as MachineId];

function record(key: string, origin: MachineId, hlc: number): ReplicatedRecord {
  return { key, origin, hlc, schema: 1, body: new Uint8Array(), signature: new Uint8Array() };
}

const taken = (...records: readonly ReplicatedRecord[]): readonly string[] =>
  recordsToTakeOver(records, gone).map(({ key }) => key);

test('what a machine wrote for all is taken over, not what it says of itself', () => {
  expect(
    taken(
      record('m/gone', gone, 1),
      record('x/older', gone, 1),
      record('c/gone/1', gone, 1),
      record('links/gone', gone, 1),
      record('fail/gone/app/web', gone, 1),
      record('claim/gone', gone, 1),
      record('rev/app/1', gone, 1),
      record('rev/app/2', other, 1),
      record('app/app', gone, 1),
      record('mo/other', gone, 1),
      record('verdict/app/web/r1', gone, 1),
    ),
  ).toEqual(['rev/app/1', 'app/app', 'mo/other', 'verdict/app/web/r1']);
});

test('operations come after their pointer, whoever wrote them, and stay as valid as they were', () => {
  expect(
    taken(
      record('op/app/db', other, 9),
      record('op/app/web', gone, 9),
      record('op/app/old', other, 3),
      record('op/app/old-too', gone, 3),
      record('app/app', gone, 5),
      record('op/second/web', other, 9),
      record('op/second/db', gone, 9),
      record('op/second/old', gone, 3),
      record('app/second', other, 5),
    ),
  ).toEqual(['app/app', 'op/app/db', 'op/app/web', 'op/second/db']);
});
