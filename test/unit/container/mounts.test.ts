import { expect, test } from 'vitest';
import type { Mount } from '../../../src/model/project.ts';
import { renderContainer } from '../../../src/render/container.ts';
import { anInput, aService } from './builders.ts';

const definition = { volumes: { data: { name: 'elsewhere' } } };

function mountsOf(volumes: readonly Mount[], changes: Parameters<typeof anInput>[1] = {}) {
  const spec = { volumes };
  const service = aService(spec, { definition });
  const { Binds, Mounts, Tmpfs } = renderContainer(
    anInput(spec, { service, ...changes }),
  ).HostConfig;
  return { Binds, Mounts, Tmpfs };
}

const nothing = { Binds: undefined, Mounts: undefined, Tmpfs: undefined };

test.each<[string, Mount, object]>([
  [
    'a named volume is mounted by the name that the engine knows',
    { type: 'volume', source: 'data', target: '/d' },
    { Mounts: [{ Type: 'volume', Source: 'elsewhere', Target: '/d' }] },
  ],
  [
    'a volume that the file does not name belongs to the project',
    { type: 'volume', source: 'other', target: '/d', read_only: true, volume: { nocopy: true } },
    {
      Mounts: [
        {
          Type: 'volume',
          Source: 'shop_other',
          Target: '/d',
          ReadOnly: true,
          VolumeOptions: { NoCopy: true },
        },
      ],
    },
  ],
  [
    'an anonymous volume has no source',
    { type: 'volume', target: '/d', volume: {} },
    { Mounts: [{ Type: 'volume', Target: '/d' }] },
  ],
  [
    'a bind that may create its source is written as text',
    {
      type: 'bind',
      source: '/x',
      target: '/y',
      read_only: true,
      bind: { create_host_path: true, selinux: 'z', propagation: 'rslave' },
    },
    { Binds: ['/x:/y:ro,z,rslave'] },
  ],
  [
    'a bind that must exist fails when it does not',
    { type: 'bind', source: '/x', target: '/y', bind: { propagation: 'shared' } },
    {
      Mounts: [
        { Type: 'bind', Source: '/x', Target: '/y', BindOptions: { Propagation: 'shared' } },
      ],
    },
  ],
  [
    'a path with a colon cannot be text',
    { type: 'bind', source: '/x:1', target: '/y', bind: { create_host_path: true } },
    {
      Mounts: [
        { Type: 'bind', Source: '/x:1', Target: '/y', BindOptions: { CreateMountpoint: true } },
      ],
    },
  ],
  [
    'tmpfs with size and mode',
    { type: 'tmpfs', target: '/t', tmpfs: { size: '1024', mode: 0o1777 } },
    { Mounts: [{ Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1024, Mode: 0o1777 } }] },
  ],
])('%s', (_title, mount, expected) => {
  expect(mountsOf([mount])).toEqual({ ...nothing, ...expected });
});

test('an old engine creates no mount point for a bind with a colon', () => {
  const mount = { type: 'bind', source: '/x:1', target: '/y', bind: { create_host_path: true } };
  expect(mountsOf([mount], { apiVersion: '1.41' }).Mounts).toEqual([
    { Type: 'bind', Source: '/x:1', Target: '/y' },
  ]);
});

test('anonymous volumes of the predecessor are taken over, those of the image too', () => {
  const inheritedVolumes = { '/d': 'old-d', '/image': 'old-image', '/named': 'old-named' };
  const { Mounts } = mountsOf(
    [
      { type: 'volume', target: '/d' },
      { type: 'volume', source: 'data', target: '/named' },
    ],
    { inheritedVolumes },
  );
  expect(Mounts).toEqual([
    { Type: 'volume', Source: 'old-d', Target: '/d' },
    { Type: 'volume', Source: 'elsewhere', Target: '/named' },
    { Type: 'volume', Source: 'old-image', Target: '/image' },
  ]);
});

test('the short form of tmpfs keeps its options', () => {
  const body = renderContainer(anInput({ tmpfs: ['/run', '/tmp:size=1m,mode=700'] }));
  expect(body.HostConfig.Tmpfs).toEqual({ '/run': '', '/tmp': 'size=1m,mode=700' });
});

test('use_api_socket and files of the agent are binds', () => {
  const body = renderContainer(
    anInput({ use_api_socket: true }, { files: [{ hostPath: '/d/secret-0', target: '/s' }] }),
  );
  expect(body.HostConfig.Binds).toEqual([
    '/var/run/docker.sock:/var/run/docker.sock',
    '/d/secret-0:/s:ro',
  ]);
});
