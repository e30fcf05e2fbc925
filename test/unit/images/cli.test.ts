import { describe, expect, test } from 'vitest';
import { targetsOf } from '../../../src/cli/commands/push.ts';
import { imagesForUp } from '../../../src/cli/push-for-up.ts';
import { formatSize, PushProgress, pushObject, pushRow } from '../../../src/cli/push-lines.ts';
import type { PushResult } from '../../../src/client/push.ts';
import { carriedOut } from '../../../src/compose/carry-out.ts';
import { digestOf } from '../../../src/images/digest.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { Project } from '../../../src/model/project.ts';
import type { MachineView } from '../../../src/model/view.ts';

const result: PushResult = {
  reference: 'web:v2',
  machine: 'm2',
  configDigest: digestOf('x'),
  outcome: 'loaded',
  sentBytes: 1_007_104,
  sentLayerCount: 1,
  layerCount: 10,
};

test('sizes are written as docker writes them', () => {
  expect([0, 999, 1000, 1_007_104, 100_039_680, 2e12].map(formatSize)).toEqual([
    '0 B',
    '999 B',
    '1 kB',
    '1.007 MB',
    '100 MB',
    '2 TB',
  ]);
});

test('a result is a row and a plain object', () => {
  expect(pushRow(result)).toEqual([
    'web:v2',
    'm2',
    'loaded',
    '1 of 10',
    '1.007 MB',
    digestOf('x').slice(0, 19),
  ]);
  expect(pushObject(result)).toEqual(result);
  const error = new TscError('E_DISK_FULL', 'm2 is full');
  expect(pushObject({ ...result, error })).toEqual({
    ...result,
    error: { code: 'E_DISK_FULL', message: 'm2 is full' },
  });
});

test('progress is the sum over all machines', () => {
  const progress = new PushProgress();
  progress.add('m1', 1000);
  progress.add('m2', 2000);
  progress.sent('m1', 500);
  progress.sent('m1', 900);
  progress.sent('m2', 100);
  expect(progress.line()).toBe('sent 1 kB of 3 kB');
});

describe('the machines to push to', () => {
  // Of a machine only these are read.
  const machine = (name: string, liveness: MachineView['liveness']) =>
    ({ id: `id-${name}`, name, liveness }) as MachineView;
  const machines = [machine('m1', 'reachable'), machine('m2', 'lost'), machine('m3', 'reachable')];
  const notes: string[] = [];
  const targets = (wanted?: readonly string[]) =>
    targetsOf({ machines }, wanted, (note) => notes.push(note));

  test('are all that are reachable, and those left out are named', () => {
    expect(targets()).toEqual(['m1', 'm3']);
    expect(notes).toEqual([
      'Not reachable now, so without the image: m2. Push again when they are back.',
    ]);
  });

  test('are those that were named, by name or id, each once', () => {
    expect(targets(['id-m3', 'm3', 'm1'])).toEqual(['m3', 'm1']);
    expect(() => targets(['m9'])).toThrow(/"m9"/);
    expect(() => targets(['m2'])).toThrow('machine m2 is not reachable now');
  });
});

describe('the images that `up` pushes', () => {
  // What placement reads of a machine.
  const machine = (name: string, change: Partial<MachineView> = {}) =>
    ({
      id: `id-${name}`,
      name,
      labels: {},
      platform: 'linux/amd64',
      liveness: 'reachable',
      isAble: true,
      isDrained: false,
      ...change,
    }) as MachineView;
  const machines = [
    machine('m1'),
    machine('m2'),
    machine('m3', { liveness: 'lost' }),
    machine('m4', { isDrained: true }),
  ];
  const project: Project = {
    name: 'p',
    services: {
      web: { image: 'app:1', 'x-machines': ['m1'] },
      job: { image: 'app:1' },
      db: { image: 'redis:7', 'x-machines': ['m2'] },
      fresh: { image: 'news', pull_policy: 'always' },
      built: {},
      away: { image: 'far', 'x-machines': ['m3'] },
    },
  };

  test('go once to every machine on which one of their services may run now', () => {
    expect(imagesForUp(project, [], { machines })).toEqual([
      { reference: 'app:1', machines: ['m1', 'm2'] },
      { reference: 'redis:7', machines: ['m2'] },
    ]);
  });

  test('are those of the services that `up` changes', () => {
    expect(imagesForUp(project, ['web'], { machines })).toEqual([
      { reference: 'app:1', machines: ['m1'] },
    ]);
  });

  test('name what only a build makes, and never ask for it elsewhere', () => {
    const file = carriedOut({
      name: 'p',
      services: {
        web: { build: { context: '/p' } },
        both: { build: { context: '/p' }, image: 'me/both' },
        anew: { build: { context: '/p' }, image: 'me/anew', pull_policy: 'build' },
        plain: { image: 'redis', pull_policy: 'weekly', develop: {} },
      },
    });
    expect(file.services).toEqual({
      web: { image: 'p-web', pull_policy: 'build' },
      both: { image: 'me/both' },
      anew: { image: 'me/anew', pull_policy: 'build' },
      plain: { image: 'redis', pull_policy: 'always' },
    });
    expect(imagesForUp(file, [], { machines }).map(({ reference }) => reference)).toEqual([
      'p-web',
      'me/both',
      'me/anew',
    ]);
  });
});
