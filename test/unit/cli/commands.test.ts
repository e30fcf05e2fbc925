import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ProjectChanges } from '../../../agent/api-routes.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type {
  DefinitionAnswer,
  HistoryEntry,
  OperateRequest,
  RollbackRequest,
  UpAnswer,
  UpRequest,
} from '../../../src/model/api.ts';
import type { ContainerView } from '../../../src/model/view.ts';
import { aSnapshot, fakeAgent, m1, m2, unasked } from '../api/fakes.ts';
import { aContainer, aProject, aService } from './builders.ts';
import { type Harness, harness } from './harness.ts';

let house: Harness;
let requests: UpRequest[];
let operations: OperateRequest[];
let answer: UpAnswer;
/** What the cluster shows after `up`, one after the other. */
let scenes: ContainerView[][];
let wantedCount: number;
let rollbacks: RollbackRequest[];
let changes: readonly HistoryEntry[];
let running: DefinitionAnswer;
let arrived: (project: string) => Promise<readonly string[]>;

beforeEach(async () => {
  requests = [];
  operations = [];
  scenes = [];
  wantedCount = 1;
  rollbacks = [];
  changes = [];
  arrived = async () => [];
  running = { project: { name: 'shop', services: {} }, revision: '', scale: {}, contentHashes: {} };
  answer = {
    pointerHlc: 8,
    storedOnCount: 2,
    reachableCount: 2,
    machineCount: 2,
    changed: ['web'],
    orphans: [],
    notes: [],
    steps: [],
  };
  const projects: ProjectChanges = {
    up: async (_project, request) => {
      requests.push(request);
      play();
      return answer;
    },
    down: async () => {
      play();
      return { hlc: 9, storedOnCount: 1 };
    },
    scale: async () => {
      play();
      return { hlc: 9, storedOnCount: 1 };
    },
    operate: async (_project, request) => {
      operations.push(request);
      play();
      return { hlc: 9, storedOnCount: 1, services: ['web'], notes: ['m3 is lost'] };
    },
    rollback: async (_project, request) => {
      rollbacks.push(request);
      play();
      return answer;
    },
    history: () => ({ entries: changes }),
    definition: () => running,
  };
  house = await harness(
    fakeAgent({ projects: () => projects, arrived: (project) => arrived(project) }),
  );
  house.write('compose.yaml', file);
});
afterEach(() => house.stop());

const file = `
name: shop
services:
  web:
    image: busybox
    x-ports: ["shop.example.com:80/http"]
`;

/** Shows the scenes 60 ms apart: more than the 50 ms in which the agent gathers changes. */
function play(): void {
  for (const [index, containers] of scenes.entries()) {
    setTimeout(() => {
      house.agent.snapshot = scene(containers);
      house.agent.change();
    }, 60 * index);
  }
}

/** 200 ms after the agent has taken the change, whenever a busy machine comes to that. */
function afterAccepted(run: () => void): void {
  const timer = setInterval(() => {
    if (requests.length === 0) return;
    clearInterval(timer);
    setTimeout(run, 200);
  }, 20);
}

function scene(containers: ContainerView[]) {
  const failures = containers
    .filter((container) => container.state === 'exited')
    .map((container) => ({
      machine: container.machine,
      project: 'shop',
      service: 'web',
      rollout: 'r1',
      slot: container.slot,
      why: 'the container exited',
      exitCode: container.exitCode,
      lastLines: ['boom'],
      atMs: 1,
    }));
  return aSnapshot({
    projects: [aProject('shop', [aService('web', { wantedCount })], { pointerHlc: 8 })],
    containers,
    failures,
  });
}

describe('up', () => {
  test('sends the project, follows the rollout and says where the app answers', async () => {
    wantedCount = 2;
    scenes = [
      [aContainer('shop-web-1', { state: 'created', ready: false })],
      [
        aContainer('shop-web-1', { ready: false }),
        aContainer('shop-web-2', { ready: false, machine: m2 }),
      ],
      [aContainer('shop-web-1'), aContainer('shop-web-2', { machine: m2, health: 'healthy' })],
    ];
    const result = await house.tsc('up', '-d');
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout).toBe('web  http://shop.example.com  through m1, m2\n');
    const lines = result.stderr.split('\n').map((line) => line.replace(/ +/g, ' '));
    // A busy machine may skip a snapshot between two; what was reached is always said, in order.
    expect(lines.filter((line) => !/ (created|started)$/.test(line))).toEqual([
      'Stored on 2 of 2 machines.',
      'web-1 m1 ready',
      'web-2 m2 healthy',
      'shop: 1 service ready, 2 containers on 2 machines.',
      '',
    ]);
    expect(requests[0]).toMatchObject({
      services: [],
      isDryRun: false,
      workingDir: house.folder,
      project: { name: 'shop', services: { web: { image: 'busybox' } } },
    });
    expect(requests[0]?.composeFiles[0]).toContain('compose.yaml');
  });

  test('says that all is ready once every machine leads traffic to it', async () => {
    scenes = [[aContainer('shop-web-1')]];
    let hasArrived = false;
    arrived = async (project) => {
      expect(project).toBe('shop');
      await new Promise((resolve) => setTimeout(resolve, 100));
      hasArrived = true;
      return [];
    };
    const result = await house.tsc('up');
    expect([result.code, hasArrived]).toEqual([0, true]);
    expect(result.stderr).toContain('shop: 1 service ready');
  });

  test('names the machines that do not say that they lead traffic to it', async () => {
    scenes = [[aContainer('shop-web-1')]];
    arrived = async () => ['m2', 'm5'];
    const result = await house.tsc('up');
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('traffic may not be led to all of it yet on: m2, m5\n');
  });

  test('is ready also where an agent cannot say how far traffic is led', async () => {
    scenes = [[aContainer('shop-web-1')]];
    arrived = () => Promise.reject(new TscError('E_CLUSTER_NONE', 'this machine has left'));
    const result = await house.tsc('up');
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('is not known: this machine has left\n');
  });

  test('fails with the last lines of the broken container', async () => {
    scenes = [
      [aContainer('shop-web-1', { ready: false })],
      [aContainer('shop-web-1', { ready: false, state: 'exited', exitCode: 3 })],
    ];
    const result = await house.tsc('up');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('web-1 on m1: the container exited (exit code 3)\n    | boom');
    expect(result.stdout).toBe('');
  });

  test('with --no-wait returns when the change is stored', async () => {
    const result = await house.tsc('up', '--no-wait');
    expect(result).toEqual({ code: 0, stdout: '', stderr: 'Stored on 2 of 2 machines.\n' });
  });

  test('gives up after --wait-timeout', async () => {
    scenes = [[aContainer('shop-web-1', { ready: false })]];
    const result = await house.tsc('up', '--wait-timeout', '1');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('not ready after 1 s:');
    expect(result.stderr).toContain('web: 0 of 1 ready');
  });

  test('says what part of the cluster it sees, notes and orphans', async () => {
    answer = {
      ...answer,
      reachableCount: 1,
      machineCount: 3,
      storedOnCount: 1,
      orphans: ['old'],
      notes: ['web stays on m1'],
    };
    const { stderr } = await house.tsc('up', '--no-wait');
    expect(stderr).toContain('note: web stays on m1\n');
    expect(stderr).toContain('no longer names: old. They are kept; --remove-orphans removes them.');
    expect(stderr).toContain('You see 1 of 3 machines:');
    expect(stderr).toContain('Stored on 1 of 3 machines.');
    const quiet = await house.tscWith({ env: { COMPOSE_IGNORE_ORPHANS: '1' } }, 'up', '--no-wait');
    expect(quiet.stderr).not.toContain('old');
  });

  test('prints the steps of a dry run and changes nothing', async () => {
    answer = {
      ...answer,
      steps: [
        {
          machine: m2,
          action: {
            name: 'run',
            subject: 's',
            reason: 'it is missing',
            arguments: { project: 'shop', service: 'web', slot: '1', hash: 'h', rollout: 'r' },
          },
        },
      ],
    };
    const result = await house.tsc('up', '--dry-run');
    expect(result).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/1 +m2 +create web-1: it is missing/),
    });
    expect(requests[0]?.isDryRun).toBe(true);
    expect(await house.tsc('plan', '--scale', 'web=2')).toMatchObject({ stdout: result.stdout });
    expect(requests[1]).toMatchObject({ isDryRun: true, scale: { web: 2 } });
  });

  test('sends scale, flags, the chosen services with their dependencies, and contents', async () => {
    house.write(
      'compose.yaml',
      `
name: shop
services:
  web: { image: busybox, depends_on: [db], secrets: [key], configs: [conf] }
  db: { image: busybox }
  other: { image: busybox }
  extra: { image: busybox, profiles: [x] }
secrets: { key: { file: key.txt } }
configs: { conf: { content: "a=1" } }
`,
    );
    house.write('key.txt', 'hidden');
    const result = await house.tsc(
      '-p',
      'shop',
      'up',
      '--no-wait',
      '--scale',
      'web=3',
      '--remove-orphans',
      '--force-recreate',
      'web',
      'extra',
    );
    expect(result).toMatchObject({ code: 0 });
    expect(requests[0]).toMatchObject({
      services: ['web', 'db', 'extra'],
      scale: { web: 3 },
      removeOrphans: true,
      forceRecreate: true,
      contents: {
        'secret/key': Buffer.from('hidden').toString('base64'),
        'config/conf': Buffer.from('a=1').toString('base64'),
      },
    });
    expect(Object.keys(requests[0]?.project.services ?? {})).toContain('other');
  });

  test('refuses before it asks the agent', async () => {
    expect(await house.tsc('up', 'nope')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no such service: nope'),
    });
    expect(await house.tsc('up', '--scale', 'web')).toMatchObject({ code: 2 });
    expect(await house.tsc('up', '--nonsense')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("unknown option '--nonsense'"),
    });
    house.write('compose.yaml', 'services:\n  web:\n    imag: busybox\n');
    const bad = await house.tsc('up');
    expect(bad.code).toBe(1);
    expect(bad.stderr).toMatch(/^compose\.yaml:3:/m);
    house.write('compose.yaml', 'services:\n  web:\n    image: ${TAG:?say which}\n');
    const undefinedVariable = await house.tsc('up');
    expect(undefinedVariable.code).toBe(1);
    expect(undefinedVariable.stderr).toContain('say which');
    expect(await house.tsc('-f', 'missing.yaml', 'up')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('missing.yaml'),
    });
    expect(requests).toEqual([]);
  });

  test('shows the agent’s refusal with its hint', async () => {
    await house.stop();
    const refusing: ProjectChanges = {
      up: async () => {
        throw new TscError('E_IMAGE_NOT_FOUND', 'no such image', { hint: 'check the name' });
      },
      down: async () => ({ hlc: 0, storedOnCount: 0 }),
      scale: async () => ({ hlc: 0, storedOnCount: 0 }),
      ...unasked,
    };
    house = await harness(fakeAgent({ projects: () => refusing }));
    house.write('compose.yaml', file);
    expect(await house.tsc('up')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'no such image\n  hint: check the name\n',
    });
  });

  test('says when there is no agent', async () => {
    const result = await house.tsc('--socket', '/nowhere/agent.sock', 'up');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('no agent answers at /nowhere/agent.sock: there is no socket');
  });

  test('leaves the rollout alone on Ctrl-C', async () => {
    scenes = [[aContainer('shop-web-1', { ready: false })]];
    afterAccepted(() => process.emit('SIGINT'));
    const result = await house.tsc('up');
    expect(result.code).toBe(130);
    expect(result.stderr).toContain('The rollout goes on without this command; watch it with');
  });

  test('tells the author of a change that another one overruled at the same time', async () => {
    scenes = [[aContainer('shop-web-1', { ready: false })]];
    answer = { ...answer, change: 'mine' };
    const lost = {
      id: 'mine',
      author: { machine: m1, user: 'me' },
      atMs: 0,
      isDown: false,
      workingDir: '/shop',
      winner: { machine: m2, user: 'other' },
      volumes: {},
    };
    setTimeout(() => {
      const { projects } = scene([aContainer('shop-web-1')]);
      house.agent.snapshot = aSnapshot({
        projects: projects.map((project) => ({ ...project, pointerHlc: 9 })),
        containers: [aContainer('shop-web-1')],
      });
      house.agent.change();
    }, 200);
    setTimeout(() => {
      const { projects, containers } = house.agent.snapshot;
      house.agent.snapshot = aSnapshot({
        projects: projects.map((project) => ({ ...project, conflicts: [lost] })),
        containers,
      });
      house.agent.change();
    }, 400);
    const result = await house.tsc('up');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('another change of the project came in');
    expect(result.stderr).toMatch(/the up of project shop by me on m1 .* by other on m2/);
    expect(result.stderr).toContain('To apply it again: tsc-compose up in /shop on m1');
  });

  test('stops waiting when somebody takes the project down', async () => {
    scenes = [[aContainer('shop-web-1', { ready: false })]];
    afterAccepted(() => {
      house.agent.snapshot = aSnapshot({
        projects: [aProject('shop', [], { isRemoved: true, pointerHlc: 9 })],
      });
      house.agent.change();
    });
    expect(await house.tsc('up')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('project shop was taken down meanwhile'),
    });
  });
});

describe('down', () => {
  test('waits until the containers within reach are gone', async () => {
    house.agent.snapshot = scene([aContainer('shop-web-1'), aContainer('shop-web-2')]);
    scenes = [[aContainer('shop-web-1')], []];
    const result = await house.tsc('down');
    expect(result.code).toBe(0);
    expect(result.stderr).toMatch(/web-1 +m1 +removed/);
    expect(result.stderr).toContain('shop: 2 containers removed.');
  });

  test('of nothing is a warning', async () => {
    await house.stop();
    const idle: ProjectChanges = {
      up: () => Promise.reject(new Error('not asked')),
      down: async () => ({ hlc: 0, storedOnCount: 0 }),
      scale: () => Promise.reject(new Error('not asked')),
      ...unasked,
    };
    house = await harness(fakeAgent({ projects: () => idle }));
    expect(await house.tsc('-p', 'shop', 'down')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'Nothing to take down: project shop is not running.\n',
    });
  });
});

describe('stop, kill and rm', () => {
  const stopped = (name: string) => aContainer(name, { state: 'exited', ready: false });

  test('stop waits until what is within reach has ended, and says what is not', async () => {
    house.agent.snapshot = scene([aContainer('shop-web-1')]);
    scenes = [[aContainer('shop-web-1')], [stopped('shop-web-1')]];
    const result = await house.tsc('stop', '-t', '3', 'web');
    expect(result.code).toBe(0);
    expect(operations).toMatchObject([{ act: 'stop', services: ['web'], graceMs: 3000 }]);
    expect(result.stderr).toContain('note: m3 is lost');
    expect(result.stderr).toMatch(/web-1 +m1 +exited \(0\)/);
  });

  test('kill sends the signal that was named and waits only for SIGKILL', async () => {
    house.agent.snapshot = scene([aContainer('shop-web-1')]);
    expect((await house.tsc('kill', '-s', 'HUP')).code).toBe(0);
    expect(operations).toMatchObject([{ act: 'kill', services: [], signal: 'HUP' }]);
  });

  test('rm asks, and removes nothing without a yes', async () => {
    house.agent.snapshot = scene([stopped('shop-web-1')]);
    const refused = await house.tscWith({ input: 'n\n' }, '-p', 'shop', 'rm');
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Going to remove shop-web-1'),
    });
    expect(operations).toEqual([]);
    scenes = [[]];
    const agreed = await house.tscWith({ input: 'y\n' }, '-p', 'shop', 'rm', '-v');
    expect(agreed.code).toBe(0);
    expect(operations).toMatchObject([{ act: 'remove', services: ['web'], withVolumes: true }]);
  });

  test('rm leaves what runs unless it is to be stopped', async () => {
    house.agent.snapshot = scene([aContainer('shop-web-1')]);
    expect(await house.tsc('-p', 'shop', 'rm', '-f')).toMatchObject({
      code: 0,
      stderr: 'No stopped containers\n',
    });
    scenes = [[]];
    expect((await house.tsc('-p', 'shop', 'rm', '-fs')).code).toBe(0);
    expect(operations).toMatchObject([{ act: 'remove', stopsFirst: true }]);
  });

  test('wait without a service is over when all is ready', async () => {
    house.agent.snapshot = scene([aContainer('shop-web-1')]);
    expect((await house.tsc('wait', '--timeout', '5')).code).toBe(0);
    house.agent.snapshot = scene([aContainer('shop-web-1', { ready: false })]);
    const late = await house.tsc('wait', '--timeout', '1');
    expect(late.code).toBe(1);
    expect(late.stderr).toContain('not ready after 1 s');
  });
});

describe('why', () => {
  beforeEach(() => {
    house.agent.snapshot = scene([aContainer('shop-web-1')]);
  });

  test('prints the replicas, the machines with their figures, and what refused the others', async () => {
    const { code, stdout } = await house.tsc('why', 'web');
    expect(code).toBe(0);
    expect(stdout).toContain('web of project shop: replicated, 2 wanted');
    expect(stdout).toContain('up by me on m1');
    expect(stdout).toMatch(/1 +m1 +has it already +ready +run, .* ago: the slot is empty/);
    expect(stdout).toMatch(/2 +- +no machine can run it +no container/);
    expect(stdout).toMatch(/MACHINE +REPLICAS +RANK\nm1 +1 +0\.500\n/);
    expect(stdout).toContain('m2 may not: is drained');
    expect(stdout).toMatch(/failed: web-1 on m1, .*: exited \(1\)/);
  });

  test.each(['shop-web-1', 'web-1'])('takes container %s for its replica', async (name) => {
    expect((await house.tsc('why', name, '--format', 'json')).code).toBe(0);
    expect(house.agent.calls).toEqual([['why', 'shop', { service: 'web', slot: '1' }]]);
  });

  test('of what is not there says what is', async () => {
    expect(await house.tsc('why', 'nope')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the project has: web'),
    });
  });
});

describe('going back', () => {
  test('rollback asks for the revision and waits as up does', async () => {
    scenes = [[aContainer('shop-web-1', { ready: false })], [aContainer('shop-web-1')]];
    answer = { ...answer, notes: ['back to revision abc'] };
    const result = await house.tsc('rollback', 'shop', '--to', 'ab');
    expect(result).toMatchObject({ code: 0, stdout: '' });
    expect(result.stderr).toContain('note: back to revision abc');
    expect(result.stderr).toContain('the earlier revision is in force');
    expect(rollbacks).toMatchObject([{ to: 'ab', isDryRun: false }]);
  });

  test('history lists changes with their author, machine and verdict', async () => {
    const failure = {
      machine: m2,
      slot: '1',
      why: 'exited (3)',
      exitCode: 3,
      lastLines: [],
      atMs: 1,
    };
    const web = { name: 'web', revision: 'bbb', isChanged: true };
    changes = [
      {
        revision: 'bbb',
        atMs: 940_000,
        author: { machine: m2, user: 'ann' },
        act: 'up',
        isCurrent: true,
        services: [{ ...web, verdict: { result: 'rolled-back', atMs: 1, failure } }],
      },
      {
        revision: 'aaa',
        atMs: 880_000,
        author: { machine: m1 },
        act: 'up',
        isCurrent: false,
        services: [{ ...web, revision: 'aaa', verdict: { result: 'good', atMs: 1 } }],
      },
    ];
    const { stdout } = await house.tsc('history', 'shop');
    const [head, first, second] = stdout.split('\n');
    expect(head).toMatch(/^REVISION +WHEN +BY +MACHINE +ACT +CHANGED +VERDICT$/);
    expect(first).toMatch(/^bbb \* .* ann +m2 +up +web +rolled back: web: exited \(3\)$/);
    expect(second).toMatch(/^aaa .* m1 +up +web +good$/);
    expect((await house.tsc('history', 'shop', '-q')).stdout).toBe('bbb\naaa\n');
    const json = await house.tsc('history', 'shop', '--format', 'json');
    expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toMatchObject({
      Revision: 'bbb',
      Machine: 'm2',
      Current: true,
    });
  });

  test('diff shows what up would change, by service and key, and nothing else', async () => {
    scenes = [[aContainer('shop-web-1')]];
    play();
    house.write('old.yaml', file);
    await house.tsc('-f', 'old.yaml', 'up');
    const { project } = requests[0] ?? {};
    if (project === undefined) throw new Error('no request');
    running = { ...running, project, scale: { web: 2 } };
    house.write('compose.yaml', `${file}    environment: { A: "1" }\n    scale: 3\n`);
    const result = await house.tsc('diff', '--exit-code');
    expect(result.code).toBe(1);
    expect(result.stdout).toBe(
      'services.web.environment\n+ {"A":"1"}\nservices.web.scale\n- 2\n+ 3\n',
    );
    running = { ...running, scale: {} };
    expect(await house.tsc('diff', 'old.yaml', '--exit-code')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'shop: nothing would change.\n',
    });
  });

  test('up --no-rollback says so to the agent', async () => {
    scenes = [[aContainer('shop-web-1')]];
    await house.tsc('up', '--no-rollback');
    await house.tsc('up');
    expect(requests.map(({ noRollback }) => noRollback)).toEqual([true, undefined]);
  });
});

describe('listings', () => {
  beforeEach(() => {
    house.agent.snapshot = scene([aContainer('shop-web-1'), aContainer('shop-web-2')]);
  });

  test('ps prints a table, ids, services, or one JSON object a line', async () => {
    const table = await house.tsc('ps');
    expect(table.stdout).toMatch(
      /^NAME +IMAGE +SERVICE +CREATED +STATUS +PORTS +MACHINE\nshop-web-1 /,
    );
    expect((await house.tsc('ps', '-q')).stdout).toBe('id-shop-web-1\nid-shop-web-2\n');
    expect((await house.tsc('ps', '--services')).stdout).toBe('web\n');
    const lines = (await house.tsc('-p', 'shop', 'ps', '--format', 'json')).stdout
      .trim()
      .split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { Name: string }).Name)).toEqual([
      'shop-web-1',
      'shop-web-2',
    ]);
    expect(await house.tsc('ps', 'nope')).toMatchObject({ code: 1 });
    expect(await house.tsc('ps', '--format', 'xml')).toMatchObject({ code: 2 });
  });

  test('ls, machine ls and version answer', async () => {
    expect((await house.tsc('ls', '-q')).stdout).toBe('shop\n');
    expect(JSON.parse((await house.tsc('ls', '--format', 'json')).stdout)).toEqual([
      { Name: 'shop', Status: 'running(2)', ConfigFiles: '/somewhere/shop/compose.yaml' },
    ]);
    expect((await house.tsc('machine', 'ls')).stdout).toMatch(/^NAME .*\nm1 \*/);
    expect((await house.tsc('machine', 'ls', '-q')).stdout).toBe('m1\nm2\n');
    expect((await house.tsc('machine', 'ls', '--links')).stdout).toMatch(
      /^MACHINE .*\nm1 +m2 +1\.3ms +1m30s +equal/,
    );
    expect((await house.tsc('version')).stdout).toContain('agent version 0.1.0');
    expect((await house.tsc('--socket', '/nowhere', 'version')).stdout).toContain('not reachable');
  });
});

describe('machine', () => {
  test('init, token and join speak with the agent', async () => {
    expect((await house.tsc('machine', 'init', '--endpoint', 'a:1')).stderr).toContain('first of');
    expect((await house.tsc('machine', 'token')).stdout).toBe('word\n');
    expect((await house.tsc('machine', 'join', 'abc')).stderr).toContain('joined');
    await house.tscWith({ input: 'piped\n' }, 'machine', 'join', '-');
    expect(house.agent.calls).toEqual([
      ['init', { endpoints: ['a:1'] }],
      ['join', { token: 'abc', endpoints: [] }],
      ['join', { token: 'piped', endpoints: [] }],
    ]);
  });
});

describe('scale', () => {
  test('waits for the replicas', async () => {
    wantedCount = 2;
    house.agent.snapshot = scene([aContainer('shop-web-1')]);
    scenes = [[aContainer('shop-web-1')], [aContainer('shop-web-1'), aContainer('shop-web-2')]];
    const result = await house.tsc('scale', 'web=2');
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toMatch(/web-2 +m1 +ready/);
  });
});

describe('config', () => {
  test('prints the project, or names of its parts', async () => {
    const json = JSON.parse((await house.tsc('config', '--format', 'json')).stdout) as object;
    expect(json).toMatchObject({ name: 'shop', services: { web: { image: 'busybox' } } });
    expect((await house.tsc('convert', '--services')).stdout).toBe('web\n');
  });
});

describe('the command', () => {
  test('explains itself', async () => {
    const help = await house.tsc('--help');
    expect(help.code).toBe(0);
    for (const name of ['up', 'down', 'ps', 'logs', 'exec', 'machine']) {
      expect(help.stdout).toContain(`  ${name}`);
    }
    expect((await house.tsc('up', '--help')).stdout).toContain('--remove-orphans');
    expect((await house.tsc('--version')).stdout).toContain('1.2.3');
  });

  test('suggests what was meant', async () => {
    const result = await house.tsc('dwon');
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('down');
  });
});

describe('keys that are not supported', () => {
  const refusing = `
name: shop
services:
  web:
    image: busybox
    external_links: [cache]
  other:
    image: busybox
    credential_spec: { file: spec.json }
`;

  test('stop up with their place, before the agent is asked', async () => {
    house.write('compose.yaml', refusing);
    const result = await house.tsc('up', '--no-wait');
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/^compose\.yaml:6:\d+: services/m);
    expect(result.stderr).toContain('services.web.external_links is not supported');
    expect(result.stderr).toContain('2 keys cannot be carried out; nothing has been changed');
    expect(requests).toEqual([]);
  });

  test('that are ignored do not reach the agent', async () => {
    house.write('compose.yaml', refusing);
    const ignored = ['--ignore', 'services.*.external_links', '--ignore', 'credential_spec'];
    expect(await house.tsc('up', '--no-wait', ...ignored)).toMatchObject({ code: 0 });
    expect(requests[0]?.project.services).toMatchObject({
      web: { image: 'busybox' },
      other: { image: 'busybox' },
    });
    expect(JSON.stringify(requests[0])).not.toMatch(/external_links|credential_spec/);
  });

  test('are translated with one note for each reason', async () => {
    house.write(
      'compose.yaml',
      `
name: shop
services:
  web: { image: busybox, networks: [one, two] }
networks:
  one: { driver_opts: { a: b } }
  two: { driver_opts: { a: b } }
`,
    );
    const { code, stderr } = await house.tsc('up', '--no-wait');
    expect(code).toBe(0);
    const notes = stderr.split('\n').filter((line) => line.startsWith('note:'));
    expect(notes).toEqual([
      'note: networks.one.driver_opts (and 1 more): options of Docker networks have no meaning here',
    ]);
  });

  test('concern only the services that are changed, and may be ignored', async () => {
    house.write('compose.yaml', refusing);
    const result = await house.tsc('up', '--no-wait', '--ignore', 'external_links', 'web');
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('services.web.external_links is left out, as --ignore says');
    expect(requests).toHaveLength(1);
  });

  test('are listed by check, which fails', async () => {
    house.write('compose.yaml', refusing);
    const result = await house.tsc('check');
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/services\.web\.external_links +refused +compose\.yaml:6/);
    expect(result.stdout).not.toContain('services.web.image');
    const all = JSON.parse((await house.tsc('check', '-a', '--format', 'json')).stdout) as object[];
    expect(all).toContainEqual(
      expect.objectContaining({ key: 'services.web.image', verdict: 'honoured' }),
    );
    house.write('compose.yaml', file);
    expect(await house.tsc('check')).toMatchObject({ code: 0 });
  });
});

describe('x-ports that cannot be read', () => {
  const wrong = `
name: shop
services:
  web:
    image: busybox
    x-ports:
      - 80/http
      - shop.example.com:80/htpp
`;

  test('stop up and check with their place', async () => {
    house.write('compose.yaml', wrong);
    for (const command of [['up', '--no-wait'], ['check']]) {
      const result = await house.tsc(...command);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/^compose\.yaml:8:9: services\.web: x-ports "shop/m);
      expect(result.stderr).toContain('"htpp" is not http, https, tcp or udp');
    }
    expect(requests).toEqual([]);
  });

  test('do not concern services that stay as they are', async () => {
    house.write('compose.yaml', `${wrong}  other: { image: busybox }\n`);
    expect(await house.tsc('up', '--no-wait', 'other')).toMatchObject({ code: 0 });
  });

  test('may also be a single text', async () => {
    house.write('compose.yaml', 'services:\n  web:\n    image: busybox\n    x-ports: "x:y"\n');
    const result = await house.tsc('up', '--no-wait');
    expect(result.stderr).toMatch(/^compose\.yaml:4:5: services\.web: x-ports "x:y"/m);
  });
});

test('services that a profile switches off are named to the agent', async () => {
  house.write('compose.yaml', `${file}  debug: { image: busybox, profiles: [debug] }\n`);
  await house.tsc('up', '--no-wait');
  await house.tsc('--profile', 'debug', 'up', '--no-wait');
  expect(requests.map(({ disabledServices }) => disabledServices)).toEqual([['debug'], []]);
});

test('a file elsewhere is named by its whole path', async () => {
  house.write('below/compose.yaml', 'services:\n  web:\n    imag: busybox\n');
  const below = await house.tsc('-f', 'below/compose.yaml', 'up');
  expect(below.stderr).toMatch(/^below\/compose\.yaml:3:/m);
  const path = `${house.folder}/below/compose.yaml`;
  expect((await house.tsc('-f', path, 'up')).stderr).toMatch(/^below\/compose\.yaml:3:/m);
});
