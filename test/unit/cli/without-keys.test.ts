import { describe, expect, test } from 'vitest';
import { shownFile } from '../../../src/cli/places.ts';
import { withoutKeys } from '../../../src/cli/without-keys.ts';
import type { Project } from '../../../src/model/project.ts';

const project: Project = {
  name: 'shop',
  services: {
    web: {
      image: 'busybox',
      gpus: 'all',
      deploy: { mode: 'replicated-job', replicas: 2 },
      volumes: [
        { type: 'npipe', target: '/a' },
        { type: 'volume', source: 'data', target: '/b' },
        { type: 'cluster', target: '/c' },
      ],
    },
  },
};

describe('keys that are left out', () => {
  test('go from the project at any depth; the rest stays, in its order', () => {
    const left = withoutKeys(project, [
      ['services', 'web', 'gpus'],
      ['services', 'web', 'deploy', 'mode'],
      ['services', 'web', 'nothing'],
    ]);
    const { web } = project.services;
    expect(left.services['web']).toEqual({
      image: 'busybox',
      deploy: { replicas: 2 },
      volumes: web?.volumes,
    });
    expect(Object.keys(left.services['web'] ?? {})).toEqual(['image', 'deploy', 'volumes']);
    expect(web?.deploy?.mode).toBe('replicated-job');
  });

  test('inside items of a list take the items with them', () => {
    const left = withoutKeys(project, [
      ['services', 'web', 'volumes', 0, 'type'],
      ['services', 'web', 'volumes', 2, 'type'],
      ['services', 'web', 'volumes', 2, 'target'],
    ]);
    expect(left.services['web']?.volumes).toEqual([
      { type: 'volume', source: 'data', target: '/b' },
    ]);
  });
});

test.each([
  ['/home/me/app/compose.yaml', 'compose.yaml'],
  ['/home/me/app/deep/er.yaml', 'deep/er.yaml'],
  ['/home/me/compose.yaml', '/home/me/compose.yaml'],
  ['/home/me/app', '/home/me/app'],
  ['-', '-'],
  ['compose.yaml', 'compose.yaml'],
])('%s is shown as %s', (file, expected) => {
  expect(shownFile(file, '/home/me/app')).toBe(expected);
});
