import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import type { MachineView } from '../../../src/model/view.ts';
import {
  machineRulesOf,
  placementProblems,
  unknownMachines,
} from '../../../src/plan/machine-rules.ts';
import {
  companionsFirst,
  fitRefusal,
  Load,
  type Placeable,
  pickMachine,
  refusal,
} from '../../../src/plan/place.ts';
import { compareRank, firstRanked, quickRanking, rank } from '../../../src/plan/rank.ts';
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
    ['node.role==worker', undefined],
    ['node.role != manager', undefined],
    ['node.role != worker', undefined],
    ['node.ip == 192.0.2.1', undefined],
    ['node.ip != 192.0.2.0/24', 'does not meet "node.ip != 192.0.2.0/24"'],
    ['node.ip == 198.51.100.0/24', 'does not meet "node.ip == 198.51.100.0/24"'],
    ['NODE.LABELS.disk == SSD', undefined],
    ['node.labels.DISK == ssd', 'does not meet "node.labels.DISK == ssd"'],
    ['engine.labels.os == linux', undefined],
    ['engine.labels.os != linux', 'does not meet "engine.labels.os != linux"'],
    ['node.platform.os == linux', undefined],
    ['node.platform.arch == x86_64', undefined],
    ['node.platform.arch == aarch64', 'does not meet "node.platform.arch == aarch64"'],
    ['engine.labels.zone == x', undefined],
    ['node.colour == red', 'constraint "node.colour == red" is not understood'],
    ['whatever', 'constraint "whatever" is not understood'],
  ])('constraint %s', (constraint, expected) => {
    const spec = { deploy: { placement: { constraints: [constraint] } } };
    const engineLabels = { os: 'linux' };
    expect(fitRefusal(service(spec), machine({ engineLabels }))).toBe(expected);
  });

  test('devices are shared, but have to be there', () => {
    const gpu: Service = {
      deploy: { resources: { reservations: { devices: [{ capabilities: ['gpu'], count: 2 }] } } },
    };
    expect(fitRefusal(service(gpu), machine())).toBe('has no gpu, the service wants 2');
    expect(fitRefusal(service(gpu), machine({ resources: { gpu: 1 } }))).toBe(
      'has 1 gpu, the service wants 2',
    );
    const load = new Load();
    load.add(service(gpu), machineId('a'));
    const two = machine({ resources: { gpu: 2 } });
    expect(fitRefusal(service(gpu), two) ?? load.refusal(service(gpu), two)).toBeUndefined();
    const all = service({ gpus: [{ count: -1 }] });
    expect(fitRefusal(all, machine())).toBe('has no gpu, the service wants 1');
    expect(fitRefusal(all, two)).toBeUndefined();
  });

  test('those that stand beside it have to fit as well', () => {
    const spec = { network_mode: 'service:web', 'x-machines': 'b' };
    const sidecar = service(spec, { name: 'sidecar' });
    expect(fitRefusal(service({}, { beside: [sidecar] }), machine())).toBe(
      'is not named in x-machines (service sidecar, which stands beside it)',
    );
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
    constraints: [],
    count: undefined,
  });
});

describe('rules that cannot be understood are found before they are written', () => {
  test.each<[string, Service, string | undefined]>([
    ['a name', { 'x-machines': 'a' }, undefined],
    ['a list', { 'x-machines': ['a', '!b'] }, undefined],
    ['all three', { 'x-machines': { names: 'a', labels: { disk: 'ssd' }, count: 2 } }, undefined],
    ['a constraint among the names', { 'x-machines': 'node.labels.disk == ssd' }, undefined],
    ['an empty name', { 'x-machines': ['a', ''] }, 'x-machines has an empty name'],
    ['an empty exclusion', { 'x-machines': '!' }, 'x-machines has an empty name'],
    ['a number', { 'x-machines': 3 }, 'x-machines is a name, a list of names'],
    ['a count of nothing', { 'x-machines': { count: 0 } }, 'x-machines.count is no number'],
    ['labels as a list', { 'x-machines': { labels: ['a'] } }, 'x-machines.labels is no mapping'],
    ['a further key', { 'x-machines': { name: 'a' } }, 'x-machines.name is not known'],
    ['a bad constraint', constrained('node.colour == red'), 'is not understood'],
    ['a bad role', constrained('node.role == boss'), 'is not understood'],
    ['a bad address', constrained('node.ip == 10.1'), 'is not understood'],
    [
      'a preference for a name',
      { deploy: { placement: { preferences: [{ spread: 'node.id' }] } } },
      'preference "spread: node.id" is not understood',
    ],
  ])('%s', (_title, spec, expected) => {
    const [problem] = placementProblems(spec);
    if (expected === undefined) expect(problem).toBeUndefined();
    else expect(problem).toContain(expected);
  });
});

function constrained(...constraints: readonly string[]): Service {
  return { deploy: { placement: { constraints } } };
}

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
    const scoreOf = quickRanking('app/web/1');
    const [best] = [...candidates].sort((left, right) => scoreOf(right.id) - scoreOf(left.id));
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

  test('what a group reserves is added up before the first of it is placed', () => {
    const reserve = (cpus: number): Service => ({
      deploy: { resources: { reservations: { cpus } } },
    });
    const sidecar = service(reserve(2), { name: 'sidecar' });
    const web = service(reserve(3), { beside: [sidecar] });
    expect(new Load().refusal(web, machine())).toBe('has 4 of 4 CPUs left to reserve, not 5');
    expect(new Load().refusal(web, machine({ cpuCount: 5 }))).toBeUndefined();
  });

  test('generic resources are used up', () => {
    const spec: Service = {
      deploy: {
        resources: {
          reservations: {
            generic_resources: [{ discrete_resource_spec: { kind: 'licence', value: 2 } }],
          },
        },
      },
    };
    const load = new Load();
    const two = machine({ resources: { licence: 3 } });
    expect(load.refusal(service(spec), machine())).toBe('has 0 licence left to reserve, not 2');
    expect(load.refusal(service(spec), two)).toBeUndefined();
    load.add(service(spec), machineId('a'));
    expect(load.refusal(service(spec), two)).toBe('has 1 licence left to reserve, not 2');
    load.remove(service(spec), machineId('a'));
    expect(load.refusal(service(spec), two)).toBeUndefined();
  });

  test('a machine of twice the weight takes twice as much, after every machine has one', () => {
    const [small, , big] = machines(new World('a', 'b').machine('c', { weight: 8 }));
    if (small === undefined || big === undefined) throw new Error('the world has three machines');
    const load = new Load();
    const names: string[] = [];
    for (const slot of ['1', '2', '3', '4', '5', '6']) {
      const found = pickMachine(service(), slot, [small, big], load);
      if (found === undefined) throw new Error('there is room');
      load.add(service(), found.id);
      names.push(found.name);
    }
    expect(names.slice(0, 2).sort()).toEqual(['a', 'c']);
    expect(names.filter((name) => name === 'c')).toHaveLength(4);
  });

  test('x-machines.count is how many machines the service stands on at most', () => {
    const spec = { 'x-machines': { count: 2 } };
    const load = new Load();
    const names = ['1', '2', '3', '4'].map((slot) => {
      const found = pickMachine(service(spec), slot, candidates, load);
      if (found !== undefined) load.add(service(spec), found.id);
      return found?.name;
    });
    expect(new Set(names).size).toBe(2);
  });

  test('a second preference spreads within each value of the first', () => {
    const world = new World()
      .machine('a', { labels: { zone: 'x', rack: '1' } })
      .machine('b', { labels: { zone: 'x', rack: '2' } })
      .machine('c', { labels: { zone: 'y', rack: '1' } });
    const preferences = [{ spread: 'node.labels.zone' }, { spread: 'node.labels.rack' }];
    const spec = { deploy: { placement: { preferences } } };
    const load = new Load();
    const picked = ['1', '2', '3', '4'].map((slot) => {
      const found = pickMachine(service(spec), slot, machines(world), load);
      if (found !== undefined) load.add(service(spec), found.id);
      return found?.name ?? '';
    });
    expect(picked.sort()).toEqual(['a', 'b', 'c', 'c']);
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

test('the quick ranking is fixed, and gives every machine its share', () => {
  expect(quickRanking('app/web/1')(machineId('a'))).toBe(quickRanking('app/web/1')(machineId('a')));
  const names = ['a', 'b', 'c', 'd'];
  const wins = new Map(names.map((name) => [name, 0]));
  for (let slot = 0; slot < 4_000; slot += 1) {
    const scoreOf = quickRanking(`app/web/${slot}`);
    const scores = names.map((name) => scoreOf(machineId(name)));
    const best = names[scores.indexOf(Math.max(...scores))] ?? '';
    wins.set(best, (wins.get(best) ?? 0) + 1);
  }
  for (const count of wins.values()) expect(Math.abs(count - 1_000)).toBeLessThan(120);
});

test('the first in rank has the highest quick score, in whatever order they are asked', () => {
  const ids = ['a', 'b', 'c', 'd'].map(machineId);
  const firsts = ['1', '2', '3', '4', '5', '6', '7', '8'].map((slot) => {
    const subject = `app/web/${slot}`;
    const scoreOf = quickRanking(subject);
    const [best] = [...ids].sort((left, right) => scoreOf(right) - scoreOf(left));
    expect(firstRanked(subject, ids)).toBe(best);
    expect(firstRanked(subject, [...ids].reverse())).toBe(best);
    return best;
  });
  expect(new Set(firsts).size).toBeGreaterThan(1);
  expect(firstRanked('app/web/1', [])).toBeUndefined();
});

test('the old ranking holds while one machine knows no better', () => {
  const candidates = machines(new World('a', 'b', 'c'));
  const old = candidates.map((one) => ({ ...one, versions: { ...one.versions, plan: 1 } }));
  for (const slot of ['1', '2', '3', '4', '5', '6']) {
    const subject = `app/web/${slot}`;
    const [best] = [...old].sort((left, right) => compareRank(subject, left.id, right.id));
    expect(pickMachine(service(), slot, old, new Load(old))).toBe(best);
  }
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
