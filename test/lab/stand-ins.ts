/**
 * Stand-ins for well-known images, with the same commands, ports, folders and variables, made of
 * Debian packages and this project's Node. All share one layer: a C library and a busybox, so that
 * name look-ups go through a real resolver and an entrance with `sh` works.
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { TscError } from '../../src/lib/errors.ts';
import type { ImageFile, ImageFiles } from './image-layers.ts';
import type { ImageSpec } from './images.ts';
import { ensurePackages, type Toolset } from './packages.ts';
import { projectDir } from './paths.ts';
import { runOrThrow } from './run.ts';

const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Names that `standIn` knows. */
export const standInNames = ['busybox:latest', 'redis:7', 'caddy:2', 'node:24'] as const;

/** What an image of this name is made of. @throws TscError for a name that has no stand-in */
export async function standIn(name: string): Promise<ImageSpec> {
  switch (name) {
    case 'busybox:latest':
      return busybox();
    case 'redis:7':
      return redis();
    case 'caddy:2':
      return caddy();
    case 'node:24':
    case 'node:24-slim':
      return node();
    default:
      throw new TscError('E_LAB_IMAGE', `no stand-in for ${name}: ${standInNames.join(', ')}`);
  }
}

async function busybox(): Promise<ImageSpec> {
  return {
    name: 'busybox:latest',
    files: await rootFiles(),
    config: { Cmd: ['sh'], Env: [path] },
  };
}

async function redis(): Promise<ImageSpec> {
  const tools = await ensurePackages('bookworm');
  const programs = ['usr/bin/redis-server', 'usr/bin/redis-cli'];
  return {
    name: 'redis:7',
    tags: ['redis:latest'],
    files: [
      await rootFiles(),
      {
        ...(await withLibraries(tools, programs)),
        '/usr/local/bin/docker-entrypoint.sh': { content: redisEntrypoint, mode: 0o755 },
        '/data': { isDir: true, mode: 0o777 },
      },
    ],
    config: {
      Cmd: ['redis-server'],
      Entrypoint: ['docker-entrypoint.sh'],
      Env: [path, `REDIS_VERSION=${version(tools, 'redis-server')}`],
      ExposedPorts: { '6379/tcp': {} },
      Volumes: { '/data': {} },
      WorkingDir: '/data',
    },
  };
}

/** Debian's redis accepts only local clients unless told otherwise; the well-known image does not. */
const redisEntrypoint = `#!/bin/sh
set -e
if [ "\${1#-}" != "\${1:-}" ] || [ "\${1%.conf}" != "\${1:-}" ]; then set -- redis-server "$@"; fi
if [ "\${1:-}" = redis-server ]; then
  shift
  case "\${1:--}" in
    -v | --version | -h | --help) set -- redis-server "$@" ;;
    -*) set -- redis-server --protected-mode no "$@" ;;
    *) conf=$1; shift; set -- redis-server "$conf" --protected-mode no "$@" ;;
  esac
fi
exec "$@"
`;

async function caddy(): Promise<ImageSpec> {
  const tools = await ensurePackages('forky');
  return {
    name: 'caddy:2',
    tags: ['caddy:latest'],
    files: [
      await rootFiles(),
      {
        ...(await withLibraries(tools, ['usr/bin/caddy'])),
        '/etc/caddy/Caddyfile': ':80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n',
        '/usr/share/caddy/index.html': '<!DOCTYPE html><title>Caddy works!</title>\n',
        '/config/caddy': { isDir: true },
        '/data/caddy': { isDir: true },
        '/srv': { isDir: true },
      },
    ],
    config: {
      Cmd: ['caddy', 'run', '--config', '/etc/caddy/Caddyfile', '--adapter', 'caddyfile'],
      Env: [
        path,
        `CADDY_VERSION=v${version(tools, 'caddy')}`,
        'XDG_CONFIG_HOME=/config',
        'XDG_DATA_HOME=/data',
      ],
      ExposedPorts: { '80/tcp': {}, '443/tcp': {}, '443/udp': {}, '2019/tcp': {} },
      WorkingDir: '/srv',
    },
  };
}

async function node(): Promise<ImageSpec> {
  const base = await ensurePackages('base');
  const program = join(projectDir, 'node_modules', 'node', 'bin', 'node');
  if (!existsSync(program)) throw new TscError('E_LAB_IMAGE', `no Node at ${program}`);
  return {
    name: 'node:24',
    tags: ['node:24-slim'],
    files: [
      await rootFiles(),
      {
        ...(await libraryFiles([program], [base])),
        '/usr/local/bin/node': { source: program, mode: 0o755 },
      },
    ],
    config: { Cmd: ['node'], Env: [path] },
  };
}

/** The layer that all stand-ins share. */
async function rootFiles(): Promise<ImageFiles> {
  const base = await ensurePackages('base');
  const program = join(base.root, 'usr', 'bin', 'busybox');
  const listed = await runOrThrow([...loader([base]), program, '--list']);
  const applets = listed.stdout.trim().split('\n');
  const links = applets
    .filter((name) => name !== 'busybox')
    .map((name): [string, ImageFile] => [`/bin/${name}`, { link: 'busybox' }]);
  const getent = join(base.root, 'usr', 'bin', 'getent');
  return {
    ...Object.fromEntries(links),
    ...(await libraryFiles([program, getent], [base])),
    '/bin/busybox': { source: program, mode: 0o755 },
    '/usr/bin/getent': { source: getent, mode: 0o755 },
    '/etc/passwd': passwd,
    '/etc/group': 'root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n',
    '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\n',
    '/etc/services': { source: join(base.root, 'etc', 'services'), mode: 0o644 },
    '/etc/protocols': { source: join(base.root, 'etc', 'protocols'), mode: 0o644 },
    '/home/node': { isDir: true },
    '/root': { isDir: true, mode: 0o700 },
    '/tmp': { isDir: true, mode: 0o1777 },
    '/var/log': { isDir: true },
    '/run': { isDir: true },
  };
}

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'node:x:1000:1000::/home/node:/bin/sh',
  'nobody:x:65534:65534:nobody:/:/bin/false',
  '',
].join('\n');

async function withLibraries(tools: Toolset, programs: readonly string[]): Promise<ImageFiles> {
  const base = await ensurePackages('base');
  const sources = programs.map((program) => join(tools.root, program));
  const own = programs.map((program, index): [string, ImageFile] => [
    `/${program}`,
    { source: realpathSync(sources[index] ?? ''), mode: 0o755 },
  ]);
  return { ...Object.fromEntries(own), ...(await libraryFiles(sources, [tools, base])) };
}

/**
 * The libraries that programs need, found and taken from unpacked packages only: an image must not
 * depend on what this machine has installed.
 */
async function libraryFiles(
  programs: readonly string[],
  toolsets: readonly Toolset[],
): Promise<ImageFiles> {
  const dirs = toolsets.flatMap(({ root }) => libraryDirs(root));
  const files: Record<string, ImageFile> = {};
  for (const program of programs) {
    const listed = await runOrThrow([...loader(toolsets), '--list', program]);
    for (const name of neededNames(listed.stdout)) {
      const source = dirs.map((dir) => join(dir, name)).find((file) => existsSync(file));
      if (source === undefined) {
        throw new TscError('E_LAB_IMAGE', `no package brings ${name}, which ${program} needs`);
      }
      const target = name.startsWith('ld-linux') ? loaderPath(name) : `/usr/lib/${name}`;
      files[target] = { source: realpathSync(source), mode: 0o755 };
    }
  }
  return files;
}

/** The packages' own loader, with the packages' folders as its only path. */
function loader(toolsets: readonly Toolset[]): readonly string[] {
  const dirs = toolsets.flatMap(({ root }) => libraryDirs(root));
  for (const dir of dirs) {
    const name = readdirSync(dir).find((file) => /^ld-linux.*\.so\.\d+$/u.test(file));
    if (name !== undefined) return [join(dir, name), '--library-path', dirs.join(':')];
  }
  throw new TscError('E_LAB_IMAGE', 'no package brings a loader');
}

function neededNames(listed: string): readonly string[] {
  const names = [...listed.matchAll(/^\s*(?<path>\S+) (?:=>|\()/gmu)].map((match) =>
    (match.groups?.['path'] ?? '').replace(/.*\//u, ''),
  );
  return names.filter((name) => name !== '' && !name.startsWith('linux-vdso'));
}

/** Where programs look for their loader: written into each of them at build. */
function loaderPath(name: string): string {
  return process.arch === 'x64' ? `/lib64/${name}` : `/lib/${name}`;
}

function libraryDirs(root: string): readonly string[] {
  return ['usr/lib', 'lib']
    .map((dir) => join(root, dir))
    .filter((dir) => existsSync(dir))
    .flatMap((dir) =>
      readdirSync(dir)
        .filter((name) => name.endsWith('-linux-gnu'))
        .map((name) => join(dir, name)),
    );
}

function version(tools: Toolset, name: string): string {
  return (tools.versions[name] ?? '').replace(/[+~-].*/u, '');
}
