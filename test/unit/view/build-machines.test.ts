/** What is kept from one view to the next must be what a look at everything would give. */
import { describe, expect, test } from 'vitest';
import { signRecord } from '../../../src/gossip/admission.ts';
import { encodeJson } from '../../../src/gossip/node.ts';
import { RecordMap } from '../../../src/gossip/record-map.ts';
import type { ClusterId } from '../../../src/model/ids.ts';
import { recordKey } from '../../../src/model/record.ts';
import type { Liveness, ViewContext } from '../../../src/model/view.ts';
import { buildView } from '../../../src/view/build-view.ts';
import { aContainer, aMachineRecord } from '../../lib/builders.ts';
import { fakeSigner } from '../../sim/machine.ts';

const names = ['a', 'b', 'c', 'd'];
const signers = names.map((name) => fakeSigner(name));
const ids = signers.map(({ machine }) => machine);
const cluster = 'cluster' as ClusterId;

/** A map in which any machine writes anything, at a later time than what was there. */
class Records {
  readonly map = new RecordMap();
  #hlc = 0;

  write(by: number, key: string, value: unknown): void {
    const signer = signers[by];
    if (signer === undefined) throw new Error(`no machine ${by}`);
    this.#hlc += 1;
    const body = value === null ? null : encodeJson(value);
    this.map.merge(signRecord(cluster, signer, { key, hlc: this.#hlc, schema: 1, body }));
  }

  machine(index: number): void {
    const record = aMachineRecord(names[index] ?? '', index + 1);
    const machine = ids[index] ?? 'none';
    const admission = { ...record.admission, machine, hlc: index + 1 };
    this.write(index, `m/${machine}`, { ...record, admission });
  }

  /** The same records in a map of which nothing is known. */
  copy(): RecordMap {
    const map = new RecordMap();
    for (const record of this.map.records()) map.merge({ ...record });
    return map;
  }
}

function contextOf(liveness: ReadonlyMap<string, Liveness>): ViewContext {
  const [self] = ids;
  if (self === undefined) throw new Error('no machine');
  const known = new Map(ids.map((id) => [id, liveness.get(id) ?? 'reachable'] as const));
  return { self, cluster, nowMs: 1000, liveness: known, guards: [] };
}

const quiet = contextOf(new Map());

function formed(): Records {
  const records = new Records();
  for (const index of ids.keys()) records.machine(index);
  return records;
}

describe('from view to view', () => {
  test('the machines are the same object while nothing of them changes', () => {
    const records = formed();
    const first = buildView(records.map, quiet).machines;
    records.write(0, 'app/shop', { nonsense: true });
    expect(buildView(records.map, quiet).machines).toBe(first);
    records.write(1, recordKey.links(ids[1] ?? quiet.self), { up: [], able: false, headless: [] });
    const second = buildView(records.map, quiet).machines;
    expect(second).not.toBe(first);
    expect([...second].filter(([id, machine]) => first.get(id) !== machine)).toHaveLength(1);
    const lost = contextOf(new Map([[ids[2] ?? '', 'lost']]));
    expect(buildView(records.map, lost).machines.get(ids[2] ?? quiet.self)?.liveness).toBe('lost');
    expect(buildView(records.map, quiet).machines).toEqual(second);
  });

  test('whatever changes, the view is that of the same records read for the first time', () => {
    let state = 7;
    const next = (below: number): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    const records = formed();
    const id = (): (typeof ids)[number] => ids[next(ids.length)] ?? quiet.self;
    const kinds = new Set<string>();
    for (let step = 0; step < 500; step++) {
      const by = next(ids.length);
      const self = ids[by] ?? quiet.self;
      const changes: readonly (() => void)[] = [
        () => records.machine(by),
        () => records.write(by, `mo/${id()}`, next(3) === 0 ? null : { drain: next(2) === 0 }),
        () => records.write(by, `mo/${id()}`, { name: names[next(4)], weight: next(3) }),
        () => records.write(by, `x/${id()}`, next(10) === 0 ? {} : null),
        () => {
          const up = [id(), id()].map((machine) => ({ machine, sinceMs: next(1000) }));
          const body = { up, able: next(3) > 0, unableSinceMs: next(1000), headless: [] };
          records.write(by, recordKey.links(self), next(8) === 0 ? { up: 'nobody' } : body);
        },
        () => records.write(by, recordKey.container(self, `c${next(4)}`), aContainer()),
        () => records.write(by, recordKey.container(id(), `c${next(4)}`), next(2) ? {} : null),
        () => records.write(by, recordKey.failure(self, 'shop', 'web'), { what: next(3) }),
        () => records.write(by, recordKey.claim(self), { slots: next(2) === 0 ? [] : 'all' }),
        () => records.map.forget(recordKey.links(self)),
      ];
      changes[next(changes.length)]?.();
      const states: readonly Liveness[] = ['reachable', 'headless', 'unreachable', 'lost'];
      const context = contextOf(new Map([[id(), states[next(4)] ?? 'lost']]));
      const view = buildView(records.map, context);
      const fresh = buildView(records.copy(), context);
      expect(view).toEqual(fresh);
      expect([...view.machines.keys()]).toEqual([...fresh.machines.keys()]);
      for (const { why } of view.problems) kinds.add(why);
    }
    // A run that meets nothing wrong shows nothing of how that is kept.
    expect(kinds.size).toBeGreaterThan(4);
  });
});
