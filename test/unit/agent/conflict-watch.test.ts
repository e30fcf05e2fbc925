import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ConflictWatch } from '../../../agent/conflict-watch.ts';
import { createLog } from '../../../agent/log.ts';
import type { Entry, PointerRecord } from '../../../src/model/record.ts';
import { changeId } from '../../../src/plan/conflict.ts';
import { machineId, RecordMap } from '../../lib/builders.ts';

const a = machineId('a');
const b = machineId('b');

function pointer(author: typeof a, createdMs: number, ancestors: readonly string[]): PointerRecord {
  return {
    services: {},
    createdMs,
    parent: null,
    author: { machine: author },
    volumes: {},
    orphans: [],
    ancestors,
  };
}

/** A watch on machine a, over records that a test replaces. */
function watched() {
  const map = new RecordMap();
  const written: string[] = [];
  let tell: (keys: readonly string[]) => void = () => undefined;
  let hlc = 0;
  const set = (key: string, value: unknown): void => {
    hlc += 1;
    map.set({ key, origin: b, hlc, value });
    tell([key]);
  };
  const watch = new ConflictWatch({
    replica: {
      self: a,
      get: (key: string): Entry | undefined => map.get(key),
      entries: (prefix: string) => map.entries(prefix),
      subscribe: (listener) => {
        tell = listener;
        return () => undefined;
      },
      write: (key: string, value: unknown) => {
        written.push(key);
        set(key, value);
        return Promise.resolve({ hlc });
      },
    },
    log: createLog(() => undefined, 'error'),
  });
  return { map, written, set, watch };
}

test('the author of a change that is overruled writes it down at once, and once', async () => {
  const { map, written, set, watch } = watched();
  const mine = pointer(a, 1, []);
  set('app/shop', mine);
  watch.start();
  set('app/shop', pointer(b, 2, []));
  await sleep(20);
  expect(written).toEqual(['conflict/shop']);
  expect(map.get('conflict/shop')?.value).toMatchObject({ lost: [{ id: changeId(mine) }] });
  set('app/shop', pointer(b, 3, [changeId(mine), changeId(pointer(b, 2, []))]));
  set('conflict/shop', null);
  await sleep(20);
  expect(written).toHaveLength(1);
  watch.stop();
});

test('a change that knew of the one before is none, and others leave the author time', async () => {
  const { written, set, watch } = watched();
  const first = pointer(b, 1, []);
  set('app/shop', first);
  watch.start();
  const second = pointer(b, 2, [changeId(first)]);
  set('app/shop', second);
  set('app/shop', pointer(a, 3, [changeId(first)]));
  await sleep(20);
  expect(written).toEqual([]);
  watch.stop();
});
