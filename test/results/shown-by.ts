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
  e2e('one-machine'),
  e2e('three-machines'),
  e2e('bad-input'),
  e2e('interrupted'),
  e2e('failure'),
  e2e('push'),
  e2e('status'),
  e2e('demo'),
  { name: 'compose cases', kind: 'tests', what: 'test/conformance/compose.test.ts' },
  command('compose fuzz', 'node scripts/fuzz.ts compose --cases 2000 --seed 1'),
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
];
