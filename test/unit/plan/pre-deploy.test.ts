import { beforeEach, describe, expect, test } from 'vitest';
import { assert } from '../../../src/lib/assert.ts';
import { hlcToMs } from '../../../src/lib/hlc.ts';
import type { Service } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { plan } from '../../../src/plan/plan.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { preDeployOf } from '../../../src/view/pre-deploy.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const migrate = { command: ['migrate'], environment: { STEP: '1' } };
const web = (change: Service = {}) =>
  aProject({ web: { deploy: { replicas: 2 }, 'x-pre_deploy': migrate, ...change }, db: {} });

let world: World;
let cluster: FakeCluster;
beforeEach(() => {
  world = new World('a', 'b', 'c');
  cluster = new FakeCluster(world);
});

/** Lets every machine act until nothing more happens. */
function settle(ticks = 60): void {
  for (let tick = 0; tick < ticks; tick += 1) cluster.tick();
}

const images = (): readonly string[] =>
  cluster
    .containers()
    .filter(({ service }) => service === 'web')
    .map(({ hash }) => hash);

describe('a hook before the rollout', () => {
  test('runs once, on the machine of the first slot, before any container', () => {
    const { pointer } = world.up('a', web());
    const { hook, rollout, slots } = pointer.services['web'] ?? {};
    expect(hook).toEqual({ machine: slots?.['1'], run: rollout });
    expect(pointer.services['db']?.hook).toBeUndefined();
    settle();
    const ran = cluster.log.findIndex((line) => line.includes('runHook hook:app/web'));
    const first = cluster.log.findIndex((line) => line.includes('run slot:app/web'));
    expect(ran).toBeGreaterThanOrEqual(0);
    expect(first).toBeGreaterThan(ran);
    expect([...cluster.hookRuns.values()]).toEqual([1]);
    expect(images()).toHaveLength(2);
  });

  test('is not run again by the same file, a new count or a lost machine', () => {
    world.up('a', web());
    settle();
    world.up('b', web());
    world.up('b', web({ deploy: { replicas: 3 } }));
    settle();
    cluster.powerOff('c');
    settle();
    expect([...cluster.hookRuns.values()]).toEqual([1]);
    expect(images().length).toBeGreaterThanOrEqual(3);
  });

  test('whose record another run replaces holds up nothing once the rollout was good', () => {
    const { pointer } = world.up('a', web());
    settle();
    const { hook } = pointer.services['web'] ?? {};
    const record = world.service('web').hook?.state;
    expect(world.service('web').verdict?.result).toBe('good');
    world.write(recordKey.hook('app', 'web'), hook?.machine ?? machineId('a'), {
      ...record,
      run: 'on the other side of a partition',
    });
    expect(world.service('web').hook?.state).toBeUndefined();
    world.up('b', web({ deploy: { replicas: 3 } }));
    settle();
    expect(images()).toHaveLength(3);
    expect([...cluster.hookRuns.values()]).toEqual([1]);
  });

  test('leaves its container until the rollout is judged, and no older change removes it', () => {
    const { pointer } = world.up('a', web());
    const { hook, rollout } = pointer.services['web'] ?? {};
    const self = hook?.machine.slice('id-'.length) ?? '';
    const view = world.view(self);
    const project = view.projects.get('app');
    assert(project !== undefined, 'it was brought up');
    const pointerMs = hlcToMs(project.pointerHlc);
    const removed = (run: string, createdMs: number): boolean => {
      world.container(self, 'h', { hook: run, slot: 'pre_deploy', state: 'exited', createdMs });
      const { actions } = plan(world.view(self), idleLocalState);
      return actions.some(({ name, subject }) => name === 'remove' && subject === 'container:h');
    };
    const run = hook?.run ?? '';
    expect(removed(run, pointerMs + 1)).toBe(false);
    // A machine that loses its records may be told of the earlier rollout first.
    world.nowMs = pointerMs + 1_000;
    expect(removed('of an earlier rollout', pointerMs - 1)).toBe(false);
    world.nowMs = pointerMs + 600_000;
    expect(removed('of an earlier rollout', pointerMs - 1)).toBe(true);
    world.nowMs = pointerMs + 1_000;
    expect(removed('of a change that is not known here', pointerMs + 1)).toBe(false);
    world.write(recordKey.verdict('app', 'web', rollout ?? ''), machineId('a'), {
      result: 'good',
      atMs: world.nowMs,
    });
    expect(removed(run, pointerMs + 1)).toBe(true);
    expect(removed('of an earlier rollout', pointerMs - 1)).toBe(true);
  });

  test('that fails leaves the old containers as they are', () => {
    world.up('a', web());
    settle();
    const before = cluster.containers().map(({ id }) => id);
    cluster.behaviours.set('web', { hookExitCode: 3 });
    const second = world.up('a', web({ image: 'web:2' }));
    settle();
    expect(cluster.containers().map(({ id }) => id)).toEqual(before);
    const waits = cluster.waiting.map(({ why }) => why);
    expect(waits.find((why) => why.includes('pre-deploy'))).toMatch(
      /^its pre-deploy hook failed on [abc]: it exited with code 3 \(`up --retry-hook` runs it again\)$/,
    );
    // The same file again is refused; only the flag runs it again.
    expect(() => world.up('a', web({ image: 'web:2' }))).toThrow(
      'the pre-deploy hook of service "web" has failed with this definition',
    );
    expect(second.changed).toEqual(['web']);
    settle();
    expect([...cluster.hookRuns.values()]).toEqual([1, 1]);
    cluster.behaviours.clear();
    world.up('a', web({ image: 'web:2' }), { retryHook: true });
    settle();
    expect([...cluster.hookRuns.values()]).toEqual([1, 1, 1]);
    expect(cluster.containers().map(({ id }) => id)).not.toEqual(before);
  });

  test('that could not even be started is tried by the next up', () => {
    const { pointer } = world.up('a', web());
    const { hook } = pointer.services['web'] ?? {};
    const machine = hook?.machine.slice('id-'.length) ?? '';
    world.failure(machine, world.service('web'), { hook: hook?.run ?? '' });
    const next = world.accept('a', web()).pointer.services['web'];
    expect(next?.hook?.run).toBe(next?.rollout);
    expect(next?.hook?.run).not.toBe(hook?.run);
  });

  test('is held when its machine is lost, and runs elsewhere only when the user says so', () => {
    const { pointer } = world.up('a', web());
    const hook = pointer.services['web']?.hook;
    const lost = hook?.machine.slice('id-'.length) ?? '';
    cluster.powerOff(lost);
    settle();
    expect(images()).toEqual([]);
    expect(
      cluster.waiting.some(({ why }) => why.startsWith('held: its pre-deploy hook belongs to')),
    ).toBe(true);
    const self = lost === 'a' ? 'b' : 'a';
    const retried = world.up(self, web(), { retryHook: true });
    expect(retried.pointer.services['web']?.hook?.machine).not.toBe(machineId(lost));
    settle();
    expect(images()).toHaveLength(2);
  });

  test('waits for what the service depends on', () => {
    const project = web({ depends_on: { db: { condition: 'service_started' } } });
    cluster.behaviours.set('db', { runFailure: 'no such image' });
    world.up('a', project);
    settle(10);
    expect(cluster.hookRuns.size).toBe(0);
  });

  test('of another machine’s word is not believed', () => {
    const { pointer } = world.up('a', web());
    const hook = pointer.services['web']?.hook;
    const other = hook?.machine === machineId('a') ? machineId('b') : machineId('a');
    const record = {
      state: 'done',
      containerId: '',
      startedMs: 1,
      endedMs: 2,
      exitCode: 0,
      why: '',
      lastLines: [],
    };
    world.write(recordKey.hook('app', 'web'), other, {
      ...record,
      run: hook?.run,
      machine: hook?.machine,
    });
    expect(world.service('web').hook?.state).toBeUndefined();
    world.write(recordKey.hook('app', 'web'), hook?.machine ?? other, {
      ...record,
      run: 'older',
      machine: hook?.machine,
    });
    expect(world.service('web').hook?.state).toBeUndefined();
  });

  test('is refused while an older agent would start the service without it', () => {
    const key = recordKey.machine(machineId('c'));
    const value = world.records.get(key)?.value as { versions: object };
    world.write(key, machineId('c'), { ...value, versions: { ...value.versions, plan: 1 } });
    expect(() => world.accept('a', web())).toThrow('which the agent of c does not know');
    expect(world.accept('a', aProject({ db: {} })).changed).toEqual(['db']);
  });
});

describe('x-pre_deploy', () => {
  test('takes a command as text and variables as a list', () => {
    const spec = {
      'x-pre_deploy': {
        command: 'rake "db:migrate all"',
        environment: ['A=b=c', 'GONE'],
        timeout: '90s',
        user: 1000,
        privileged: true,
      },
    };
    expect(preDeployOf('web', spec)).toEqual({
      command: ['rake', 'db:migrate all'],
      environment: { A: 'b=c', GONE: null },
      user: '1000',
      isPrivileged: true,
      workingDir: undefined,
      timeoutMs: 90_000,
    });
    expect(preDeployOf('web', {})).toBeUndefined();
    expect(preDeployOf('web', { 'x-pre_deploy': { command: ['a'] } })?.timeoutMs).toBe(300_000);
  });

  test.each([
    ['a list', ['a'], 'is not a mapping'],
    ['no command', { user: 'x' }, '"command" is missing'],
    ['an unknown key', { command: 'a', retries: 3 }, '"retries" is not known'],
    ['a timeout in words', { command: 'a', timeout: 'long' }, '"timeout" is not a duration'],
    ['variables that are none', { command: 'a', environment: 3 }, '"environment" is a mapping'],
  ])('with %s is refused', (_title, value, why) => {
    expect(() => preDeployOf('web', { 'x-pre_deploy': value })).toThrow(why);
  });
});
