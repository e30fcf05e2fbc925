import { expect, test } from 'vitest';
import type { ContainerRecord } from '../../../src/model/record.ts';
import { type ServingSince, servingSince } from '../../../src/plan/serving-since.ts';
import { aProject, World } from '../../lib/builders.ts';

/** Both machines have a copy of the one slot of web; machine a looks. */
function doubled(): World {
  const world = new World('a', 'b', 'c');
  world.up('a', aProject({ web: { deploy: { replicas: 2 } } }));
  world.container('a', 'here', { slot: '1' });
  world.container('c', 'beside', { slot: '2' });
  return there(world);
}

function there(world: World, change: Partial<ContainerRecord> = {}): World {
  return world.container('b', 'there', { slot: '1', startedMs: 7, ...change });
}

function look(world: World, before: ServingSince = new Map()): ServingSince {
  return servingSince(before, world.view('a'));
}

test('only other copies of the own slots count, from the first look that sees them serve', () => {
  const world = doubled();
  const first = look(world);
  expect([...first]).toEqual([['there', { startedMs: 7, sinceMs: world.nowMs }]]);
  world.nowMs += 1_000;
  expect(look(world, first)).toEqual(first);
});

test.each<[string, (world: World) => unknown]>([
  ['is not ready', (world) => there(world, { ready: false })],
  ['drains', (world) => there(world, { draining: true })],
  ['is out of traffic', (world) => world.is('b', 'unreachable')],
])('a copy that %s does not serve, and begins anew afterwards', (_what, change) => {
  const world = doubled();
  const first = look(world);
  change(world);
  const without = look(world, first);
  expect(without.size).toBe(0);
  there(world).is('b', 'reachable');
  world.nowMs += 1_000;
  expect(look(world, without).get('there')?.sinceMs).toBe(world.nowMs);
});

test('a copy that was started anew between two looks begins anew', () => {
  const world = doubled();
  const first = look(world);
  world.nowMs += 1_000;
  there(world, { startedMs: 8 });
  expect(look(world, first).get('there')).toEqual({ startedMs: 8, sinceMs: world.nowMs });
});

test('a clock that was set back does not make it wait for the old time', () => {
  const world = doubled();
  const first = look(world);
  world.nowMs -= 3_600_000;
  expect(look(world, first).get('there')?.sinceMs).toBe(world.nowMs);
});
