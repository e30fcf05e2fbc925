import { expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import { apiAtLeast, engineGaps } from '../../../src/render/container-api.ts';

test('API versions are compared as numbers, part by part', () => {
  expect(apiAtLeast('1.41', '1.9')).toBe(true);
  expect(apiAtLeast('1.9', '1.41')).toBe(false);
  expect(apiAtLeast('1.44', '1.44')).toBe(true);
  expect(apiAtLeast('2.0', '1.44')).toBe(true);
  expect(apiAtLeast('1.44', '2.0')).toBe(false);
});

const spec: Service = {
  annotations: { a: 'b' },
  healthcheck: { start_interval: '1s' },
  volumes: [
    { type: 'image', source: 'alpine', target: '/i' },
    { type: 'volume', source: 'v', target: '/v', volume: { subpath: 'x' } },
    {
      type: 'bind',
      source: '/b',
      target: '/b',
      // The loader passes on keys that the type does not name.
      bind: { recursive: 'readonly' } as object,
    },
  ],
};

test('an old engine lacks each of these, in order', () => {
  expect(engineGaps(spec, '1.41')).toEqual([
    { key: 'annotations', neededVersion: '1.43', effect: 'ignored' },
    { key: 'healthcheck.start_interval', neededVersion: '1.44', effect: 'ignored' },
    { key: 'volumes[/i]', neededVersion: '1.48', effect: 'refused' },
    { key: 'volumes[/v].volume.subpath', neededVersion: '1.45', effect: 'refused' },
    { key: 'volumes[/b].bind.recursive', neededVersion: '1.44', effect: 'refused' },
  ]);
});

test('a new engine lacks nothing, and a plain service needs nothing', () => {
  expect(engineGaps(spec, '1.48')).toEqual([]);
  expect(engineGaps({ volumes: [{ type: 'volume', target: '/v' }] }, '1.41')).toEqual([]);
});
