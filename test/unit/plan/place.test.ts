import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import type { MachineView } from '../../../src/model/view.ts';
import { machineRulesOf, unknownMachines } from '../../../src/plan/machine-rules.ts';
import {
  companionsFirst,
  fitRefusal,
  Load,
  type Placeable,
  pickMachine,
  refusal,
} from '../../../src/plan/place.ts';
import { compareRank, rank } from '../../../src/plan/rank.ts';
import { machineId, World } from '../../lib/builders.ts';

function service(spec: Service = {}, change: Partial<Placeable> = {}): Placeable {
  const base = { project: 'app', name: 'web', mode: 'replicated', platforms: [] } as const;
  return { ...base, bound: undefined, spec, ...change };
}

function machines(world: World): readonly MachineView[] {
  return [...world.view('a').machines.values()];
}

function machine(change: Partial<MachineView> = {}): MachineView {
  const [first] = machines(new World().machine('a', { labels: { disk: 'ssd', zone: 'x' } }));
  if (first === undefined) throw new Error('the world has a machine');
  return { ...first, ...change };
}

describe('whether a machine fits', () => {
  test.each<[string, Service, Partial<MachineView>, string | undefined]>([
    ['nothing said', {}, {}, undefined],
    ['drained', {}, { isDrained: true }, 'is drained'],
    ['named', { 'x-machines': 'a' }, {}, undefined],
    ['named by id', { 'x-machines': ['id-a'] }, {}, undefined],
    ['named in a comma list', { 'x-machines': 'b, a' }, {}, undefined],
    ['not named', { 'x-machines': ['b'] }, {}, 'is not named in x-machines'],
    ['excluded', { 'x-machines': ['!a'] }, {}, 'is excluded in x-machines'],
    ['another excluded', { 'x-machines': '!b' }, {}, undefined],
    ['by label', { 'x-machines': { labels: { disk: 'ssd' } } }, {}, undefined],
    ['wrong label', { 'x-machines': { labels: { disk: 'hdd' } } }, {}, 'has no label disk=hdd'],
    ['platform', { platform: 'linux/arm64' }, {}, 'is linux/amd64, the service wants linux/arm64'],
    [
      'platform with a variant',
      { platform: 'linux/arm64/v8' },
      { platform: 'linux/arm64' },
      undefined,
    ],
  ])('%s', (_title, spec, change, expected) => {
    expect(fitRefusal(service(spec), machine(change))).toBe(expected);
  });

  test.each<[string, string | undefined]>([
    ['node.labels.disk == ssd', undefined],
    ['node.labels.disk==hdd', 'does not meet "node.labels.disk==hdd"'],
    ['node.labels.disk != hdd', undefined],
    ['node.labels.none != x', undefined],
    ['disk=ssd', undefined],
    ['disk=hdd', 'does not meet "disk=hdd"'],
    ['node.hostname == A', undefined],
    ['node.hostname != a', 'does not meet "node.hostname != a"'],
    ['node.id == id-a', undefined],
    ['node.role == manager', undefined],
    ['node.platform.os == linux', undefined],
    ['node.platform.arch == x86_64', undefined],
    ['node.platform.arch == aarch64', 'does not meet "node.platform.arch == aarch64"'],
    ['engine.labels.zone == x', undefined],
    ['node.colour == red', 'constraint "node.colour == red" is not understood'],
    ['whatever', 'constraint "whatever" is not understood'],
  ])('constraint %s', (constraint, expected) => {
    const spec = { deploy: { placement: { constraints: [constraint] } } };
    expect(fitRefusal(service(spec), machine())).toBe(expected);
  });

  test('the platforms of the image count when they are known and the file names none', () => {
    const arm = service({}, { platforms: ['linux/arm64'] });
    expect(fitRefusal(arm, machine())).toBe('is linux/amd64, the image is for linux/arm64');
    const named = service({ platform: 'linux/amd64' }, { platforms: ['linux/arm64'] });
    expect(fitRefusal(named, machine())).toBeUndefined();
  });

  test('data elsewhere excludes a machine', () => {
    expect(fitRefusal(service({}, { bound: machineId('b') }), machine())).toContain(
      'another machine',
    );
    expect(fitRefusal(service({}, { bound: machineId('a') }), machine())).toBeUndefined();
  });

  test('something new also needs a machine that can be reached and can act', () => {
    expect(refusal(service(), machine({ liveness: 'headless' }))).toBe('is headless');
    expect(refusal(service(), machine({ isAble: false }))).toContain('cannot start');
    expect(refusal(service(), machine())).toBeUndefined();
  });
});

test('unknown names in x-machines are found, also among the excluded', () => {
  const spec = { 'x-machines': ['a', 'x', '!y'] };
  expect(unknownMachines(spec, machines(new World('a')))).toEqual(['x', 'y']);
  expect(machineRulesOf({ 'x-machines': { names: 'a, !b' } })).toEqual({
    names: ['a'],
    excluded: ['b'],
    labels: {},
  });
});

describe('the balance', () => {
  const candidates = machines(new World('a', 'b', 'c'));

  test('fewest replicas of the service come before fewest containers', () => {
    const load = new Load();
    const other = service({}, { name: 'other' });
    load.add(other, machineId('a'));
    load.add(other, machineId('a'));
    load.add(service(), machineId('b'));
    load.add(service(), machineId('c'));
    expect(pickMachine(service(), '3', candidates, load)?.name).toBe('a');
  });

  test('fewest containers come before rank', () => {
    const load = new Load();
    const other = service({}, { name: 'other' });
    load.add(other, machineId('a'));
    load.add(other, machineId('b'));
    expect(pickMachine(service(), '1', candidates, load)?.name).toBe('c');
    expect(load.total(machineId('a'))).toBe(1);
  });

  test('rank decides between equals, and the order of candidates does not', () => {
    const [best] = [...candidates].sort((left, right) =>
      compareRank('app/web/1', left.id, right.id),
    );
    expect(pickMachine(service(), '1', candidates, new Load())).toBe(best);
    expect(pickMachine(service(), '1', candidates.toReversed(), new Load())).toBe(best);
  });

  test('two replicas with one host port never share a machine, nor do two services', () => {
    const spec = { ports: [{ target: 80, published: '80', mode: 'host' }] };
    const load = new Load();
    const picked = ['1', '2', '3'].map((slot) => {
      const found = pickMachine(service(spec), slot, candidates, load);
      if (found !== undefined) load.add(service(spec), found.id);
      return found?.name;
    });
    expect(new Set(picked)).toEqual(new Set(['a', 'b', 'c']));
    expect(pickMachine(service(spec), '4', candidates, load)).toBeUndefined();
    const other = service(spec, { name: 'other' });
    expect(load.refusal(other, machine())).toBe('port 80/tcp is used there by app/web');
  });

  test('max_replicas_per_node is a hard limit', () => {
    const limited = service({ deploy: { placement: { max_replicas_per_node: 1 } } });
    const load = new Load();
    load.add(limited, machineId('a'));
    expect(load.refusal(limited, machine())).toContain('max_replicas_per_node');
  });

  test('reservations must fit', () => {
    const cpus = service({ deploy: { resources: { reservations: { cpus: 3 } } } });
    const memory = service({ deploy: { resources: { reservations: { memory: '5g' } } } });
    const load = new Load();
    expect(load.refusal(cpus, machine())).toBeUndefined();
    expect(load.refusal(memory, machine())).toBeUndefined();
    load.add(cpus, machineId('a'));
    load.add(memory, machineId('a'));
    expect(load.refusal(cpus, machine())).toContain('CPUs');
    expect(load.refusal(memory, machine())).toContain('memory');
  });

  test('preferences spread over the values of a label first', () => {
    const world = new World()
      .machine('a', { labels: { zone: 'x' } })
      .machine('b', { labels: { zone: 'x' } })
      .machine('c', { labels: { zone: 'y' } });
    const spec = { deploy: { placement: { preferences: [{ spread: 'node.labels.zone' }] } } };
    const load = new Load();
    const zones = ['1', '2', '3', '4'].map((slot) => {
      const found = pickMachine(service(spec), slot, machines(world), load);
      if (found !== undefined) load.add(service(spec), found.id);
      return found?.labels['zone'];
    });
    expect(zones.filter((zone) => zone === 'y')).toHaveLength(2);
  });
});

test('rank is a fixed 48-bit score of the pair', () => {
  expect(rank('app/web/1', machineId('a'))).toBe(rank('app/web/1', machineId('a')));
  expect(rank('app/web/1', machineId('a'))).not.toBe(rank('app/web/1', machineId('b')));
  expect(rank('app/web/1', machineId('a'))).toBeLessThan(2 ** 48);
});

test('companions come before those who stand beside them, and a ring ends', () => {
  const list = [
    { name: 'a', spec: { network_mode: 'service:b' } },
    { name: 'b', spec: { network_mode: 'service:c' } },
    { name: 'c', spec: {} },
  ];
  expect(companionsFirst(list).map(({ name }) => name)).toEqual(['c', 'b', 'a']);
  const ring = [
    { name: 'a', spec: { network_mode: 'service:b' } },
    { name: 'b', spec: { network_mode: 'service:a' } },
  ];
  expect(companionsFirst(ring)).toHaveLength(2);
});
