/**
 * What the project promises, and what shows it: one line of docs/results.md each. A line names the
 * runs that speak for it and, of a run of tests, their titles; a title that is in no test is a
 * mistake that the unit tests find. Nothing here is measured: figures come from the runs.
 */

/** Something that `npm run test:full` starts, once, whatever number of lines refer to it. */
export interface Run {
  /** Also what `--only` takes. */
  readonly name: string;
  /** vitest gives a result for each title, a bench gives figures, a command its exit code. */
  readonly kind: 'tests' | 'bench' | 'command';
  /** A test file, the name of a bench, or the words of a command. */
  readonly what: string;
}

/** A run, or some tests of it, that show a line. */
export interface Evidence {
  readonly run: string;
  /** Titles of tests; without them the whole run. */
  readonly tests?: readonly string[];
}

export interface Line {
  readonly says: string;
  readonly by: readonly Evidence[];
}

export interface Chapter {
  readonly title: string;
  readonly lines: readonly Line[];
}

const e2e = (name: string): Run => ({ name, kind: 'tests', what: `test/e2e/${name}.test.ts` });
const bench = (name: string): Run => ({ name: `bench ${name}`, kind: 'bench', what: name });
const command = (name: string, what: string): Run => ({ name, kind: 'command', what });

/** In the order in which they are started: what fails quickly first, benches while it is quiet. */
export const runs: readonly Run[] = [
  command('check', 'node scripts/test.ts --only check'),
  command('build', 'node scripts/build.ts'),
  command('unit', 'node scripts/test.ts --only unit'),
  bench('up'),
  bench('compose'),
  bench('push'),
  bench('plan'),
  bench('scale'),
  bench('losses'),
  bench('gossip'),
  bench('disk'),
  bench('swarm'),
  e2e('one-machine'),
  e2e('three-machines'),
  e2e('bad-input'),
  e2e('interrupted'),
  e2e('failure'),
  e2e('push'),
  e2e('status'),
  e2e('demo'),
  e2e('rollout'),
  e2e('placement'),
  e2e('data'),
  e2e('commands'),
  e2e('registry'),
  e2e('slow-disk'),
  e2e('chaos'),
  { name: 'survival', kind: 'tests', what: 'test/full/survival.test.ts' },
  { name: 'mutations', kind: 'tests', what: 'test/sim/mutations.test.ts' },
  { name: 'plan properties', kind: 'tests', what: 'test/property/plan/plan.test.ts' },
  { name: 'compose cases', kind: 'tests', what: 'test/conformance/compose.test.ts' },
  command('compose fuzz', 'node scripts/fuzz.ts compose --cases 2000 --seed 1'),
  command('frame fuzz', 'node scripts/fuzz.ts frames --count 10000000 --seed 1'),
  command(
    'simulation',
    'node scripts/sim.ts --seeds 1000 --first-seed 800000 --machines 3..30 --minutes 10',
  ),
  command('chaos by hand', 'node scripts/chaos.ts --minutes 10 --machines 5'),
  command('fresh clone', 'node test/results/fresh-clone.ts'),
];

export const chapters: readonly Chapter[] = [
  {
    title: 'The whole path',
    lines: [
      {
        says: 'One machine: up, a second up, a changed service, orphans, down; foreign containers are untouched',
        by: [{ run: 'one-machine' }],
      },
      {
        says: 'Three machines: an even spread, names across machines, pins, global services, a machine that joins, ps, logs and exec from anywhere',
        by: [
          {
            run: 'three-machines',
            tests: [
              'replicas spread evenly over the machines',
              'a container reaches redis on another machine by its service name',
              'x-machines pins, a global service runs once per machine',
              'a machine that joins gets the global service, and the others keep theirs',
              'ps, logs and exec work from any machine for any container',
            ],
          },
        ],
      },
      {
        says: 'HTTP to any machine is answered by replicas of all',
        by: [
          {
            run: 'three-machines',
            tests: ['HTTP to each machine is answered by replicas of all three'],
          },
        ],
      },
      {
        says: 'Projects with equal names resolve their own',
        by: [
          {
            run: 'three-machines',
            tests: ['two projects with equal service names each resolve their own'],
          },
        ],
      },
      {
        says: 'Containers reach neither agents nor gossip nor engines; gossip refuses strangers',
        by: [
          {
            run: 'three-machines',
            tests: [
              'a container reaches neither gossip nor an agent nor an engine of any machine',
              'gossip refuses a stranger who has no member key',
            ],
          },
        ],
      },
      {
        says: 'kill -9 of an agent: no restart, no failed look-up, no lost record',
        by: [
          {
            run: 'three-machines',
            tests: [
              'kill -9 of an agent: no container restarts, traffic and look-ups go on, nothing is lost',
            ],
          },
        ],
      },
      {
        says: 'Bad input: place, hint, exit code; nothing half-applied',
        by: [{ run: 'bad-input' }],
      },
      {
        says: 'Nothing is left after the tests, also when they were interrupted',
        by: [{ run: 'interrupted' }],
      },
    ],
  },
  {
    title: 'Failure and return, push, status, demo',
    lines: [
      {
        says: 'Power cut of one of three machines, and of one of two',
        by: [
          {
            run: 'failure',
            tests: [
              'a power cut of one of three machines',
              'a power cut of one of two machines: the survivor does the same',
            ],
          },
        ],
      },
      {
        says: 'An agent that is down for 60 s: nothing is re-placed, nothing leaves the traffic',
        by: [
          {
            run: 'failure',
            tests: [
              'an agent that is gone for 60 s: its replicas stay where they are, and in traffic',
            ],
          },
        ],
      },
      {
        says: 'Two changes on both sides of a partition: one wins everywhere, the loser is told',
        by: [
          {
            run: 'failure',
            tests: ['two changes on both sides of a partition: the loser is told'],
          },
        ],
      },
      {
        says: 'A lost or an old database is repaired by the peers',
        by: [
          {
            run: 'failure',
            tests: ['an agent that lost its database, or got an old one, is repaired by its peers'],
          },
        ],
      },
      {
        says: 'push sends what is missing; a broken stream leaves no tag',
        by: [{ run: 'push' }, { run: 'bench push' }],
      },
      { says: 'status in a real terminal', by: [{ run: 'status' }] },
      {
        says: 'The demo and the tests on a fresh clone, and nothing left afterwards',
        by: [{ run: 'demo' }, { run: 'fresh clone' }],
      },
      { says: 'up beside Docker Swarm and beside the engines alone', by: [{ run: 'bench up' }] },
    ],
  },
  {
    title: 'The Compose loader',
    lines: [
      { says: 'The golden cases of the reference implementation', by: [{ run: 'compose cases' }] },
      {
        says: 'Random projects, loaded by the reference implementation and by us',
        by: [{ run: 'compose fuzz' }],
      },
      {
        says: 'config beside docker-compose config, as whole processes',
        by: [{ run: 'bench compose' }],
      },
      { says: 'Every sample and every Compose file of the docs is checked', by: [{ run: 'unit' }] },
    ],
  },
  {
    title: 'Gossip and replicated state',
    lines: [
      {
        says: 'A thousand seeds of the simulation; five mutations that make it fail',
        by: [{ run: 'simulation' }, { run: 'mutations' }],
      },
      { says: 'Real agents beside real serf agents', by: [{ run: 'bench gossip' }] },
      {
        says: 'A disk that takes 300 ms to flush disturbs neither look-ups nor links; a full one loses nothing',
        by: [{ run: 'bench disk' }, { run: 'slow-disk' }, { run: 'unit' }],
      },
      {
        says: 'Simulated scale; no false loss of a live machine in 1,000 node-hours at 20 % loss',
        by: [{ run: 'bench scale' }, { run: 'bench losses' }],
      },
      {
        says: 'Ten million random and mutated frames: no crash, bounded memory, nothing forged',
        by: [{ run: 'frame fuzz' }],
      },
    ],
  },
  {
    title: 'Placement, rollouts, healing',
    lines: [
      {
        says: 'Balance, stability, one holder of data, one decision for any order of records; how long it takes',
        by: [{ run: 'plan properties' }, { run: 'bench plan' }],
      },
      { says: 'Plan and rollouts in the simulation', by: [{ run: 'simulation' }] },
      {
        says: 'A rolling update under load, a power cut and scaling, beside Docker Swarm',
        by: [{ run: 'bench swarm' }],
      },
      {
        says: 'A bad image, a crash loop and a failing check end as specified; rollback, history, jobs',
        by: [{ run: 'rollout' }],
      },
      {
        says: 'A failing hook ends the deploy and replaces nothing; homes of volumes, bind mounts',
        by: [{ run: 'data' }],
      },
      {
        says: 'The acceptor of a change goes off, a partition of two minutes, reboots in turn, a hung engine, a full disk',
        by: [{ run: 'survival' }],
      },
      {
        says: 'Two machines, one cut: the survivor carries what is stateless',
        by: [
          {
            run: 'failure',
            tests: ['a power cut of one of two machines: the survivor does the same'],
          },
        ],
      },
      {
        says: 'Random cuts, partitions, kills and changes, judged all the time',
        by: [{ run: 'chaos' }, { run: 'chaos by hand' }],
      },
      { says: 'Constraints, reservations, drain and rebalance', by: [{ run: 'placement' }] },
      { says: 'stop, start, restart, kill, rm, wait, why, plan', by: [{ run: 'commands' }] },
      {
        says: 'Private registries: sealed credentials, one digest everywhere',
        by: [{ run: 'registry' }],
      },
    ],
  },
];
