import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Executor, type ExecutorComponents } from '../../../agent/executor.ts';
import { ContainerFiles } from '../../../agent/files.ts';
import { createLog } from '../../../agent/log.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { Action, ActionArguments, ActionName } from '../../../src/model/action.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import { composeLabel, label } from '../../../src/model/names.ts';
import type { FailureRecord, HookRecord, VerdictRecord } from '../../../src/model/record.ts';
import type { ServiceView } from '../../../src/model/view.ts';
import { aMachine, aService, aView, cluster } from '../container/builders.ts';
import { FakeEngine } from './fake-engine.ts';
import { MemoryReplica } from './memory-replica.ts';

const self = aMachine().id;
const failureKey = `fail/${self}/shop/web`;

let engine: FakeEngine;
let replica: MemoryReplica;
let services: ServiceView[];
let executor: Executor;
let components: ExecutorComponents;
let dataDir: string;
let log: string;
let nowMs: number;
/** What the executor tells the observer, in order. */
let observed: string[];

beforeEach(() => {
  engine = new FakeEngine();
  replica = new MemoryReplica(self);
  services = [aService({ image: 'nginx:1' })];
  dataDir = mkdtempSync(join(tmpdir(), 'tsc-compose-unit-'));
  log = '';
  nowMs = 1_000_000;
  observed = [];
  components = {
    engine,
    observer: {
      refresh: async (id) => void observed.push(`refresh ${nameOf(id)}`),
      setDraining: (id, is) => void observed.push(`draining ${nameOf(id)} ${is}`),
      setCause: () => undefined,
      setSignal: (id, atMs) => void observed.push(`signal ${nameOf(id)} ${atMs}`),
      setRestarts: (id, count) => void observed.push(`restarts ${nameOf(id)} ${count}`),
      setStarting: (id, is) => void observed.push(`starting ${nameOf(id)} ${is}`),
    },
    replica,
    barrier: async ({ key }) =>
      void observed.push(`barrier ${nameOf(key.split('/').at(-1) ?? '')}`),
    view: () => aView(services),
    files: new ContainerFiles(dataDir),
    copies: { path: async (hash) => join(dataDir, 'copies', hash) },
    network: () => ({
      name: 'tsc-compose',
      bridge: 'tsc-br',
      subnet: '10.210.1.0/24',
      gateway: '10.210.1.1',
      mtu: 1420,
      trustedInterface: 'tsc-wg',
      labels: {},
    }),
    resolvConf: () => 'nameserver 10.210.1.1\n',
    now: () => nowMs,
    log: createLog((line) => {
      log += line;
    }, 'debug'),
  };
  executor = new Executor(components, { cluster });
});

afterEach(async () => {
  await executor.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

function nameOf(id: string): string {
  return engine.containers.get(id)?.name ?? 'gone';
}

function action<Name extends ActionName>(
  name: Name,
  subject: string,
  given: ActionArguments[Name],
): Action {
  return { name, subject, reason: 'a test', arguments: given } as Action;
}

const runWeb = (slot = '1', subject = `shop/web/${slot}`) =>
  action('run', subject, {
    project: 'shop',
    service: 'web',
    slot,
    hash: 'hash1',
    rollout: 'rollout1',
  });

async function whenIdle(): Promise<void> {
  await vi.waitFor(() => expect(executor.inFlight().size).toBe(0), { interval: 1 });
}

async function carryOut(...actions: Action[]): Promise<void> {
  executor.execute(actions);
  await whenIdle();
}

/** Lets calls of that name wait until the function that it returns is called. */
function gate(call: string): () => void {
  let open = (): void => undefined;
  engine.gates.set(call, new Promise<void>((resolve) => (open = resolve)));
  return () => {
    engine.gates.delete(call);
    open();
  };
}

const ownLabels = {
  [label.cluster]: cluster,
  [label.project]: 'shop',
  [label.service]: 'web',
  [label.slot]: '1',
  [label.hash]: 'hash0',
  [label.rollout]: 'rollout0',
};

describe('run', () => {
  test('makes image, network and volumes available, then creates, starts and looks', async () => {
    services = [
      aService(
        { image: 'nginx:1', volumes: [{ type: 'volume', source: 'data', target: '/d' }] },
        { definition: { volumes: { data: { name: 'shop_data' } } } },
      ),
    ];
    await carryOut(runWeb());
    expect(engine.calls).toEqual([
      'ensureImage nginx:1',
      'ensureVolume shop_data',
      'create shop-web-1',
      'start shop-web-1',
    ]);
    expect(observed).toEqual(['refresh shop-web-1']);
    expect(replica.get(failureKey)).toBeUndefined();
  });

  test('starts a container with the same labels and makes no second one', async () => {
    await carryOut(runWeb());
    const [container] = engine.containers.values();
    if (container !== undefined) container.status = 'exited';
    await carryOut(runWeb());
    expect(engine.containers.size).toBe(1);
    expect(engine.calls.slice(-1)).toEqual(['start shop-web-1']);
  });

  test('replicas that start side by side are looked for together, each by its own slot', async () => {
    await carryOut(runWeb('1'));
    const listCount = engine.listCount;
    const [first] = engine.containers.values();
    if (first !== undefined) first.status = 'exited';
    await carryOut(runWeb('1'), runWeb('2'), runWeb('3'));
    expect(engine.listCount).toBe(listCount + 1);
    const found = [...engine.containers.values()].map(({ name, status }) => `${name} ${status}`);
    // Which of them is made first depends on their files.
    expect(found.sort()).toEqual([
      'shop-web-1 running',
      'shop-web-2 running',
      'shop-web-3 running',
    ]);
  });

  test('replicas that start side by side are all made before the first is started', async () => {
    const [openFirst, openSecond] = [gate('create shop-web-1'), gate('create shop-web-2')];
    executor.execute([runWeb('1'), runWeb('2')]);
    const callsOf = (name: string) => engine.calls.filter((call) => call.startsWith(name));
    await vi.waitFor(() => expect(callsOf('create')).toHaveLength(2));
    openFirst();
    await vi.waitFor(() => expect(engine.containers.size).toBe(1));
    await new Promise(setImmediate);
    expect(callsOf('start')).toEqual([]);
    openSecond();
    await whenIdle();
    expect(callsOf('start').sort()).toEqual(['start shop-web-1', 'start shop-web-2']);
  });

  test('does nothing when the service has changed since it was planned', async () => {
    services = [aService({ image: 'nginx:2' }, { view: { hash: 'hash2' } })];
    await carryOut(runWeb());
    expect(engine.calls).toEqual([]);
    expect(replica.get(failureKey)).toBeUndefined();
  });

  test.each<[string, Partial<ServiceView> | undefined]>([
    ['taken down', undefined],
    ['stopped', { isStopped: true }],
    ['replaced', { hash: 'hash2' }],
    ['given its data elsewhere', { volumeHome: 'bbbbbbbbbbbbbbbb' as MachineId }],
  ])('makes no volume and no container of a service that was %s meanwhile', async (_, change) => {
    const data = { type: 'volume', source: 'data', target: '/d' };
    const before = aService(
      { image: 'nginx:1', volumes: [data] },
      { definition: { volumes: { data: { name: 'shop_data' } } }, view: { volumeHome: self } },
    );
    services = [before];
    const open = gate('ensureImage');
    executor.execute([runWeb()]);
    await vi.waitFor(() => expect(engine.calls).toEqual(['ensureImage nginx:1']));
    services = change === undefined ? [] : [{ ...before, ...change }];
    open();
    await whenIdle();
    expect(engine.calls).toEqual(['ensureImage nginx:1']);
    expect(engine.volumes.size).toBe(0);
    expect(observed).toEqual([]);
    // It has not failed either: what is wanted now is for the next plan.
    expect(replica.get(failureKey)).toBeUndefined();
    expect(log).toContain('its order was replaced');
  });

  test('gives a passing name while a container of ours has the lasting one', async () => {
    engine.add('shop-web-1', ownLabels);
    await carryOut(runWeb());
    expect(engine.calls).toContain('start shop-web-1_rollout1');
  });

  test('never takes the name of a container that is not ours', async () => {
    engine.add('shop-web-1', { [composeLabel.project]: 'shop' });
    await carryOut(runWeb());
    const failure = replica.get(failureKey)?.value as FailureRecord;
    expect(failure).toEqual({
      rollout: 'rollout1',
      slot: '1',
      why:
        'a container named "shop-web-1" that is not this cluster\'s is on machine m1 (it belongs ' +
        'to docker compose project "shop": take it over with up --adopt, or remove it there)',
      exitCode: null,
      lastLines: [],
      atMs: nowMs,
    });
    expect(engine.containers.size).toBe(1);
  });

  test('removes what it created when it cannot be started, and says why', async () => {
    engine.failures.set('start', new TscError('E_PORT_TAKEN', 'port 80 is taken'));
    await carryOut(runWeb());
    expect(engine.containers.size).toBe(0);
    expect(replica.get(failureKey)?.value).toMatchObject({ why: 'port 80 is taken' });
  });

  test('takes the failure back when the same replica comes up later', async () => {
    engine.failures.set('start', new TscError('E_PORT_TAKEN', 'port 80 is taken'));
    await carryOut(runWeb());
    nowMs += 1_000;
    await carryOut(runWeb());
    expect(replica.get(failureKey)?.value).toBeNull();
  });

  test('leaves the failure of a container that ran and broke', async () => {
    const failure = {
      rollout: 'rollout1',
      slot: '1',
      why: 'exited',
      exitCode: 3,
      lastLines: ['x'],
      atMs: 1,
    };
    replica.observe(failureKey, failure);
    await carryOut(runWeb());
    expect(replica.get(failureKey)?.value).toEqual(failure);
  });

  test('an engine that is away is no failure of the rollout', async () => {
    engine.isDown = true;
    await carryOut(runWeb());
    expect(replica.get(failureKey)).toBeUndefined();
    expect(log).toContain('the engine is away');
  });

  test('a failing post_start hook is a failure to start', async () => {
    services = [aService({ image: 'nginx:1', post_start: [{ command: ['false'] }] })];
    await carryOut(runWeb());
    expect(replica.get(failureKey)?.value).toMatchObject({
      why: 'post_start hook "false" exited with code 1: said',
    });
    expect(engine.containers.size).toBe(0);
  });

  test('a container is kept out of traffic until its post_start hooks have ended', async () => {
    services = [aService({ image: 'nginx:1', post_start: [{ command: ['warm'] }] })];
    await carryOut(runWeb());
    expect(observed).toEqual([
      'starting shop-web-1 true',
      'starting shop-web-1 false',
      'refresh shop-web-1',
    ]);
  });

  test('says once more that the network has old options while containers hold it', async () => {
    engine.networkOutcome = { type: 'in-use', differences: ['mtu'], containers: ['x'] };
    await carryOut(runWeb());
    expect(log).toContain('old options');
    expect(engine.containers.size).toBe(1);
  });
});

describe('actions on containers', () => {
  test('drain marks and looks', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    await carryOut(action('drain', 'x', { containerId: id }));
    expect(observed).toEqual(['draining shop-web-1 true', 'refresh shop-web-1']);
    expect(engine.calls).toEqual([]);
  });

  test('drain has ended when every machine acts on the record that says so', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    replica.observe(`c/${self}/${id}`, { draining: true });
    await carryOut(action('drain', 'x', { containerId: id }));
    expect(observed.at(-1)).toBe('barrier shop-web-1');
  });

  test('start counts the restart and ends draining once it runs', async () => {
    const { id } = engine.add('shop-web-1', ownLabels, 'exited');
    await carryOut(action('start', 'x', { containerId: id, restarts: 2 }));
    expect(observed).toEqual([
      'restarts shop-web-1 2',
      'refresh shop-web-1',
      'draining shop-web-1 false',
    ]);
    expect(engine.calls).toEqual(['start shop-web-1']);
  });

  test('remove stops what runs, after its pre_stop hooks, and cleans up its files', async () => {
    services = [aService({ image: 'nginx:1', pre_stop: [{ command: ['save'] }] })];
    await carryOut(runWeb());
    expect(readdirSync(join(dataDir, 'containers'))).toHaveLength(1);
    const [id = ''] = engine.containers.keys();
    engine.calls.length = 0;
    await carryOut(action('remove', 'x', { containerId: id, graceMs: 1_000 }));
    expect(engine.calls).toEqual(['exec save', 'stop shop-web-1', 'remove shop-web-1']);
    expect(readdirSync(join(dataDir, 'containers'))).toEqual([]);
  });

  test('pre_stop hooks are the container’s own, also when its service has changed or gone', async () => {
    services = [aService({ image: 'nginx:1', pre_stop: [{ command: ['save'] }] })];
    await carryOut(runWeb());
    const [id = ''] = engine.containers.keys();
    engine.calls.length = 0;
    services = [];
    await carryOut(action('remove', 'x', { containerId: id, graceMs: 1_000 }));
    expect(engine.calls).toEqual(['exec save', 'stop shop-web-1', 'remove shop-web-1']);
  });

  test.each([
    ['30s', 1_000, 30_000],
    ['2s', 10_000, 10_000],
    [undefined, 10_000, 10_000],
  ])(
    'remove gives a container of stop_grace_period %s its time',
    async (period, given, expected) => {
      const own = period === undefined ? {} : { stop_grace_period: period };
      services = [aService({ image: 'nginx:1', ...own })];
      await carryOut(runWeb());
      const [id = ''] = engine.containers.keys();
      services = [];
      await carryOut(action('remove', 'x', { containerId: id, graceMs: given }));
      expect(engine.graces).toEqual([expected]);
    },
  );

  test('a restart runs both kinds of hooks, and a failing one stops the container', async () => {
    const hooks = { pre_stop: [{ command: ['save'] }], post_start: [{ command: ['warm'] }] };
    services = [aService({ image: 'nginx:1', ...hooks })];
    await carryOut(runWeb());
    const [id = ''] = engine.containers.keys();
    engine.calls.length = 0;
    const restart = action('restart', 'x', { containerId: id, graceMs: 0, restarts: 0 });
    await carryOut(restart);
    expect(engine.calls).toEqual(['exec save', 'restart shop-web-1', 'exec warm']);
    services = [aService({ image: 'nginx:1', post_start: [{ command: ['false'] }] })];
    await carryOut(restart);
    expect(engine.calls.slice(-2)).toEqual(['exec false', 'stop shop-web-1']);
    expect(replica.get(failureKey)?.value).toMatchObject({ slot: '1', rollout: 'rollout1' });
  });

  test('who is restarted serves nobody until it is back', async () => {
    await carryOut(runWeb());
    const [id = ''] = engine.containers.keys();
    replica.observe(`c/${self}/${id}`, {});
    observed.length = 0;
    const restart = engine.restart.bind(engine);
    engine.restart = async (...given) => {
      observed.push('restarted');
      await restart(...given);
    };
    await carryOut(action('restart', 'x', { containerId: id, graceMs: 0, restarts: 0 }));
    const name = 'shop-web-1';
    expect(observed).toEqual([
      `restarts ${name} 0`,
      `starting ${name} true`,
      `barrier ${name}`,
      'restarted',
      `refresh ${name}`,
      `starting ${name} false`,
      `refresh ${name}`,
    ]);
  });

  test('a failing pre_stop hook does not keep a container', async () => {
    services = [aService({ image: 'nginx:1', pre_stop: [{ command: ['false'] }] })];
    await carryOut(runWeb());
    const [id = ''] = engine.containers.keys();
    await carryOut(action('stop', 'x', { containerId: id, graceMs: 1_000 }));
    expect(engine.calls.at(-1)).toBe('stop shop-web-1');
    expect(log).toContain('stopped nevertheless');
  });

  test('stopping or removing what is gone is done', async () => {
    await carryOut(action('stop', 'x', { containerId: 'f'.repeat(64), graceMs: 0 }));
    await carryOut(action('remove', 'x', { containerId: 'f'.repeat(64), graceMs: 0 }));
    expect(log).not.toContain('failed');
    expect(observed).toEqual(['refresh gone', 'refresh gone']);
  });

  test.each([
    ['stop', {}],
    ['remove', { [label.cluster]: 'another' }],
  ] as const)(
    '%s never touches a container without the label of this cluster',
    async (name, labels) => {
      const { id } = engine.add('stranger', labels);
      await carryOut(action(name, 'x', { containerId: id, graceMs: 0 }));
      expect(engine.calls).toEqual([]);
      expect(engine.containers.size).toBe(1);
      expect(log).toContain("is not this cluster's");
    },
  );

  test('rename and restart are passed on', async () => {
    const { id } = engine.add('shop-web-1_new', ownLabels);
    await carryOut(action('rename', 'x', { containerId: id, name: 'shop-web-1' }));
    await carryOut(action('restart', 'x', { containerId: id, graceMs: 0, restarts: 1 }));
    expect(engine.calls).toEqual(['rename shop-web-1', 'restart shop-web-1']);
  });

  test('reportFailure writes the last lines of the container', async () => {
    const { id } = engine.add('shop-web-1', ownLabels, 'exited');
    const given = { project: 'shop', service: 'web', slot: '1', rollout: 'r', why: 'exited' };
    await carryOut(action('reportFailure', 'x', { ...given, containerId: id, exitCode: 3 }));
    expect(replica.get(failureKey)?.value).toEqual({
      rollout: 'r',
      slot: '1',
      why: 'exited',
      exitCode: 3,
      lastLines: ['first line', 'last line'],
      atMs: nowMs,
    });
    await carryOut(action('reportFailure', 'y', { ...given, containerId: null, exitCode: null }));
    expect(replica.get(failureKey)?.value).toMatchObject({ lastLines: [], exitCode: null });
  });
});

describe('what is only written down', () => {
  const failure = { project: 'shop', service: 'web', rollout: 'r', containerId: null };

  test('failures of further slots stand beside the first, each slot once', async () => {
    for (const [slot, why] of [
      ['1', 'first'],
      ['2', 'second'],
      ['1', 'again'],
    ] as const) {
      await carryOut(action('reportFailure', 'x', { ...failure, slot, why, exitCode: 1 }));
    }
    expect(replica.get(failureKey)?.value).toMatchObject({
      rollout: 'r',
      slot: '2',
      why: 'second',
      more: [{ slot: '1', why: 'again' }],
    });
    const newer = { ...failure, rollout: 's', slot: '1', why: 'newer', exitCode: 1 };
    await carryOut(action('reportFailure', 'x', newer));
    expect(replica.get(failureKey)?.value).toMatchObject({ rollout: 's', why: 'newer' });
    expect(replica.get(failureKey)?.value).not.toHaveProperty('more');
  });

  describe('writeVerdict', () => {
    const given = { project: 'shop', service: 'web', rollout: 'r' };
    const good = { result: 'good', atMs: 1 } as const;
    const judge = (verdict: VerdictRecord): Promise<void> =>
      carryOut(action('writeVerdict', 'v', { ...given, verdict }));

    beforeEach(() => replica.observe('app/shop', {}));

    test('asks the linked machines first, and leaves it to the next plan', async () => {
      await judge(good);
      expect(replica.askedCount).toBe(1);
      expect(replica.get('verdict/shop/web/r')).toBeUndefined();
      await judge(good);
      expect(replica.askedCount).toBe(1);
      expect(replica.get('verdict/shop/web/r')?.value).toEqual(good);
    });

    test('asks again when the next plan came too late', async () => {
      await judge(good);
      nowMs += 5000;
      await judge(good);
      expect(replica.askedCount).toBe(2);
      expect(replica.get('verdict/shop/web/r')).toBeUndefined();
    });

    test('a verdict is never written over another', async () => {
      await judge(good);
      await judge(good);
      const later = { result: 'paused', atMs: 2 } as const;
      await judge(later);
      await judge(later);
      expect(replica.get('verdict/shop/web/r')?.value).toEqual(good);
    });
  });

  test('a completed run names its machine and time', async () => {
    const done = { project: 'shop', service: 'job', slot: '2', rollout: 'r', atMs: 5 };
    await carryOut(action('recordDone', 'd', done));
    expect(replica.get('done/shop/job/2/r')?.value).toEqual({ machine: replica.self, atMs: 5 });
  });
});

describe('removeVolume', () => {
  const remove = (volume: string) => action('removeVolume', 'v', { project: 'shop', volume });

  test.each([
    ['of this cluster', { [label.cluster]: cluster }],
    ['that docker compose made for the project', { [composeLabel.project]: 'shop' }],
  ])('removes a volume %s', async (_whose, labels) => {
    engine.volumes.set('shop_data', labels);
    await carryOut(remove('shop_data'));
    expect(engine.volumes.size).toBe(0);
  });

  test('keeps a volume that is neither, and passes over one that is gone', async () => {
    engine.volumes.set('shop_data', { [composeLabel.project]: 'other' });
    await carryOut(remove('shop_data'));
    expect(engine.volumes.size).toBe(1);
    expect(log).toContain('volume shop_data is not of project shop');
    log = '';
    await carryOut(remove('gone'));
    expect(log).not.toContain('failed');
  });
});

describe('order', () => {
  test('two actions with one subject never run at the same time, and keep their order', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    const open = gate('rename');
    const rename = (name: string) => action('rename', 'one', { containerId: id, name });
    executor.execute([rename('first'), rename('second')]);
    await vi.waitFor(() => expect(engine.calls).toEqual(['rename first']));
    expect([...executor.inFlight()]).toEqual(['one']);
    open();
    await vi.waitFor(() => expect(engine.calls).toEqual(['rename first', 'rename second']));
  });

  test('a new plan replaces what has not begun', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    const open = gate('rename');
    const rename = (name: string) => action('rename', 'one', { containerId: id, name });
    executor.execute([rename('first'), rename('second')]);
    await vi.waitFor(() => expect(engine.calls).toEqual(['rename first']));
    executor.execute([rename('third')]);
    open();
    await vi.waitFor(() => expect(engine.calls).toEqual(['rename first', 'rename third']));
  });

  test('at most eight run at once, the ninth follows', async () => {
    const open = gate('rename');
    const { id } = engine.add('shop-web-1', ownLabels);
    executor.execute(
      Array.from({ length: 9 }, (_, index) =>
        action('rename', `subject${index}`, { containerId: id, name: `name${index}` }),
      ),
    );
    await vi.waitFor(() => expect(engine.calls).toHaveLength(8));
    expect(executor.inFlight().size).toBe(8);
    open();
    await vi.waitFor(() => expect(engine.calls).toHaveLength(9));
  });

  test('a failed action rests, longer each time, while others go on', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    const rename = action('rename', 'one', { containerId: id, name: 'x' });
    const fail = () => engine.failures.set('rename', new TscError('E_X', 'no'));
    fail();
    await carryOut(rename);
    await carryOut(rename);
    expect(engine.calls).toHaveLength(1);
    await carryOut(action('drain', 'one', { containerId: id }));
    expect(observed).toContain('draining shop-web-1 true');

    nowMs += 1_000;
    fail();
    await carryOut(rename);
    expect(engine.calls).toHaveLength(2);
    nowMs += 1_999;
    await carryOut(rename);
    expect(engine.calls).toHaveLength(2);
    nowMs += 1;
    await carryOut(rename);
    expect(engine.calls).toHaveLength(3);
    // It went well, so the next failure rests one second again.
    fail();
    await carryOut(rename);
    nowMs += 1_000;
    await carryOut(rename);
    expect(engine.calls).toHaveLength(5);
  });

  test('listeners hear of the end of each action, until they are taken off', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    let count = 0;
    const off = executor.onDone(() => (count += 1));
    await carryOut(action('drain', 'one', { containerId: id }));
    await vi.waitFor(() => expect(count).toBe(1));
    off();
    await carryOut(action('drain', 'one', { containerId: id }));
    expect(count).toBe(1);
  });

  test('stop begins nothing more and waits for what runs', async () => {
    const { id } = engine.add('shop-web-1', ownLabels);
    const open = gate('rename');
    const rename = (name: string) => action('rename', 'one', { containerId: id, name });
    executor.execute([rename('first'), rename('second')]);
    await vi.waitFor(() => expect(engine.calls).toEqual(['rename first']));
    const stopped = executor.stop();
    open();
    await stopped;
    executor.execute([rename('third')]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(engine.calls).toEqual(['rename first']);
  });
});

describe('runHook', () => {
  const hookKey = 'hook/shop/web';
  const hookSpec = {
    image: 'nginx:1',
    ports: [{ target: 80, published: '80' }],
    'x-pre_deploy': { command: ['migrate'], timeout: '10s' },
  };
  const runHook = () =>
    action('runHook', 'hook', { project: 'shop', service: 'web', run: 'rollout1' });
  const hookContainer = () =>
    [...engine.containers.values()].find(({ body }) => body.Labels[label.hook] === 'rollout1');
  const hookRecord = () => replica.get(hookKey)?.value as HookRecord | undefined;

  beforeEach(() => {
    const hook = { machine: self, run: 'rollout1', state: undefined };
    services = [aService(hookSpec, { view: { hook } })];
  });

  /** Ends the hook's container as soon as it runs. */
  async function endWith(exitCode: number): Promise<void> {
    await vi.waitFor(() => expect(hookContainer()?.status).toBe('running'), { interval: 1 });
    const container = hookContainer();
    if (container !== undefined) Object.assign(container, { status: 'exited', exitCode });
  }

  test('makes the container, writes that it starts, starts it, and keeps it after success', async () => {
    executor.execute([runHook()]);
    await vi.waitFor(() => expect(hookContainer()?.status).toBe('running'), { interval: 1 });
    expect(hookRecord()).toMatchObject({ run: 'rollout1', machine: self, state: 'started' });
    expect(hookContainer()?.name).toBe('shop-web-pre_deploy-rollout1');
    expect(hookContainer()?.body.Labels).toMatchObject({
      [composeLabel.oneOff]: 'True',
      [label.slot]: 'pre_deploy',
    });
    await endWith(0);
    await whenIdle();
    expect(hookRecord()).toMatchObject({ state: 'done', exitCode: 0, why: '' });
    expect(hookContainer()?.status).toBe('exited');
    expect(replica.get(failureKey)).toBeUndefined();
  });

  test('that fails is written with its last lines and kept for its logs', async () => {
    executor.execute([runHook()]);
    await endWith(3);
    await whenIdle();
    expect(hookRecord()).toMatchObject({
      state: 'failed',
      why: 'it exited with code 3',
      lastLines: ['first line', 'last line'],
    });
    expect(replica.get(failureKey)?.value).toMatchObject({
      hook: 'rollout1',
      why: 'the pre-deploy hook failed: it exited with code 3',
      exitCode: 3,
      lastLines: ['first line', 'last line'],
    });
    expect(hookContainer()?.status).toBe('exited');
  });

  test('that takes too long is stopped and has failed', async () => {
    executor.execute([runHook()]);
    await vi.waitFor(() => expect(hookContainer()?.status).toBe('running'), { interval: 1 });
    nowMs += 10_000;
    await whenIdle();
    expect(hookRecord()).toMatchObject({ state: 'failed', why: 'it did not end within 10 s' });
    expect(engine.calls).toContain('stop shop-web-pre_deploy-rollout1');
  });

  test('is not started again by an agent that finds it started', async () => {
    executor.execute([runHook()]);
    await vi.waitFor(() => expect(hookContainer()?.status).toBe('running'), { interval: 1 });
    // The agent stops while the hook runs, and another one of it takes over.
    await executor.stop();
    expect(hookRecord()?.state).toBe('started');
    executor = new Executor(components, { cluster });
    engine.calls.length = 0;
    executor.execute([runHook()]);
    await endWith(0);
    await whenIdle();
    expect(engine.calls).toEqual([]);
    expect(hookRecord()?.state).toBe('done');
  });

  test('is not started again when the record of another run has replaced its own', async () => {
    executor.execute([runHook()]);
    await endWith(0);
    await whenIdle();
    await replica.write(hookKey, { ...hookRecord(), run: 'rollout0', machine: 'other' });
    engine.calls.length = 0;
    executor.execute([runHook()]);
    await whenIdle();
    expect(engine.calls).toEqual([]);
    expect(hookRecord()).toMatchObject({ run: 'rollout1', machine: self, state: 'done' });
  });

  test('is not made when another rollout takes its place while its image comes', async () => {
    const open = gate('ensureImage');
    executor.execute([runHook()]);
    await vi.waitFor(() => expect(engine.calls).toEqual(['ensureImage nginx:1']));
    services = [aService({ image: 'nginx:2' }, { view: { hash: 'hash2', rollout: 'rollout2' } })];
    open();
    await whenIdle();
    expect(engine.calls).toEqual(['ensureImage nginx:1']);
    expect(hookRecord()).toBeUndefined();
    expect(replica.get(failureKey)).toBeUndefined();
  });

  test('was made and never ran when the agent crashed: it is started once', async () => {
    engine.gates.set('start', new Promise(() => undefined));
    executor.execute([runHook()]);
    await vi.waitFor(() => expect(hookRecord()?.state).toBe('started'), { interval: 1 });
    engine.gates.clear();
    executor = new Executor(components, { cluster });
    executor.execute([runHook()]);
    await endWith(0);
    await whenIdle();
    expect(hookRecord()?.state).toBe('done');
  });

  test('whose container has gone has failed: nobody can say how it ended', async () => {
    executor.execute([runHook()]);
    await vi.waitFor(() => expect(hookRecord()?.state).toBe('started'), { interval: 1 });
    await executor.stop();
    engine.containers.clear();
    executor = new Executor(components, { cluster });
    await carryOut(runHook());
    expect(hookRecord()).toMatchObject({ state: 'failed', exitCode: null });
    expect(hookRecord()?.why).toContain('nobody can say how it ended');
    expect(engine.containers.size).toBe(0);
  });

  test('that cannot be started is a failure of the rollout, and may be tried again', async () => {
    engine.failures.set('ensureImage', new TscError('E_IMAGE_NOT_FOUND', 'no such image'));
    await carryOut(runHook());
    expect(hookRecord()).toBeUndefined();
    expect(replica.get(failureKey)?.value).toMatchObject({
      hook: 'rollout1',
      why: 'the pre-deploy hook could not be started: no such image',
    });
    nowMs += 60_000;
    executor.execute([runHook()]);
    await endWith(0);
    await whenIdle();
    expect(hookRecord()?.state).toBe('done');
    expect(replica.get(failureKey)?.value).toBeNull();
  });
});
