/**
 * Docker engines and network tools without installing anything: Debian packages are downloaded
 * with apt's own verification into lists and caches of ours, unpacked into a folder, and their
 * programs get an entry in a `bin` folder that sets the library path.
 *
 * A set is unpacked beside its place and renamed into it, so an interrupted run leaves nothing that
 * looks finished. A finished set is used without asking the network. Nothing here writes outside
 * the cache folder.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TscError } from '../../src/lib/errors.ts';
import { type DebianMirror, findDebianMirror } from './debian-mirror.ts';
import { withLock } from './lock.ts';
import { type PackageSet, type PackageSetName, type Program, packageSets } from './package-sets.ts';
import { cacheDir } from './paths.ts';
import { run, runOrThrow } from './run.ts';

/** A set of unpacked packages, ready to use. */
export interface Toolset {
  readonly name: PackageSetName;
  /** The folder that stands for `/` of the packages. */
  readonly root: string;
  /** The folder with the runnable programs. */
  readonly bin: string;
  /** Package name to version. */
  readonly versions: Readonly<Record<string, string>>;
}

export type EngineName = '28.5' | '20.10';

/** A Docker engine with all that a machine needs around it. */
export interface Engine {
  readonly name: EngineName;
  /** What `docker version` reports for the server, as far as the package tells it. */
  readonly version: string;
  /** Folders for the front of PATH, in order. */
  readonly bins: readonly string[];
  readonly toolsets: readonly Toolset[];
}

export interface EnsureOptions {
  readonly log?: (line: string) => void;
}

/** Raised when the way of unpacking changes, so that older caches are made anew. */
const layoutVersion = 3;

/** 10 min: two hundred megabytes over a slow line. */
const downloadTimeoutMs = 600_000;

/** 60 seconds in all. */
const lockAttempts = 60;

/**
 * Makes sure that a set of packages is unpacked.
 * @throws TscError with code E_LAB_PACKAGES and the reason, for instance without a network
 */
export async function ensurePackages(
  name: PackageSetName,
  options: EnsureOptions = {},
): Promise<Toolset> {
  const set = packageSets[name];
  const recipe = createHash('sha256')
    .update(JSON.stringify([layoutVersion, process.arch, set]))
    .digest('hex')
    .slice(0, 12);
  const dir = join(cacheDir('packages'), `${name}-${recipe}`);
  return (
    readToolset(name, dir) ??
    withLock(`${dir}.lock`, async () => readToolset(name, dir) ?? unpack(name, dir, options))
  );
}

/** Makes sure that an engine and the tools beside it are unpacked. */
export async function ensureEngine(name: EngineName, options: EnsureOptions = {}): Promise<Engine> {
  const tools = await ensurePackages('bookworm', options);
  const toolsets = name === '20.10' ? [tools] : [await ensurePackages('forky', options), tools];
  const version = (toolsets[0]?.versions['docker.io'] ?? '').replace(/[+-].*/u, '');
  if (!version.startsWith(name)) {
    throw new TscError('E_LAB_PACKAGES', `the mirror has Docker ${version}, not ${name}`);
  }
  return { name, version, bins: toolsets.map((toolset) => toolset.bin), toolsets };
}

/** Path of a program of a toolset. */
export function toolPath(toolset: Toolset, program: string): string {
  return join(toolset.bin, program);
}

function readToolset(name: PackageSetName, dir: string): Toolset | undefined {
  const stamp = join(dir, 'stamp.json');
  if (!existsSync(stamp)) return undefined;
  // Written by `unpack` below, and only there.
  const versions = JSON.parse(readFileSync(stamp, 'utf8')) as Record<string, string>;
  return { name, root: join(dir, 'root'), bin: join(dir, 'bin'), versions };
}

async function unpack(name: PackageSetName, dir: string, options: EnsureOptions): Promise<Toolset> {
  const log = options.log ?? (() => undefined);
  const set = packageSets[name];
  const mirror = await findDebianMirror();
  const temporary = `${dir}.part`;
  rmSync(temporary, { recursive: true, force: true });
  const debs = join(temporary, 'debs');
  const root = join(temporary, 'root');
  for (const below of [debs, root, join(temporary, 'bin')]) mkdirSync(below, { recursive: true });

  log(`packages: reading the list of ${set.suite}`);
  const apt = aptCommand(set.suite, mirror);
  await step([...apt, 'update'], `cannot read the package list of Debian ${set.suite}`);
  log(`packages: downloading ${set.packages.length} packages of ${set.suite}`);
  await step([...apt, 'download', ...set.packages], `cannot download from ${set.suite}`, debs);

  const files = readdirSync(debs).filter((file) => file.endsWith('.deb'));
  log(`packages: unpacking ${files.length} packages`);
  const versions: Record<string, string> = {};
  for (const file of files.sort()) {
    const deb = join(debs, file);
    const fields = await runOrThrow(['dpkg-deb', '-W', '--showformat=${Package} ${Version}', deb]);
    const [packageName = '', version = ''] = fields.stdout.trim().split(' ');
    // Without the epoch, which programs do not report.
    versions[packageName] = version.replace(/^\d+:/u, '');
    await runOrThrow(['dpkg-deb', '-x', deb, root]);
  }
  rmSync(debs, { recursive: true });
  makeEntries(set, temporary);
  writeFileSync(join(temporary, 'stamp.json'), JSON.stringify(versions, undefined, 2));
  rmSync(dir, { recursive: true, force: true });
  renameSync(temporary, dir);
  log(`packages: ${name} is ready`);
  const toolset = readToolset(name, dir);
  if (toolset === undefined) throw new TscError('E_LAB_PACKAGES', `${dir} has no stamp`);
  return toolset;
}

async function step(argv: readonly string[], problem: string, cwd = '/'): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await run(argv, { cwd, timeoutMs: downloadTimeoutMs });
    if (result.code === 0) return;
    const line = result.stderr.split('\n').find((text) => text.startsWith('E:')) ?? result.stderr;
    // An apt-get whose starter was killed works on for a while and keeps its lock.
    const isLocked = line.includes('Could not get lock') && attempt < lockAttempts;
    if (!isLocked) {
      throw new TscError('E_LAB_PACKAGES', `${problem}: ${line.trim().slice(0, 300)}`);
    }
    await sleep(1_000);
  }
}

/** An apt-get that knows one suite of the mirror, keeps all its state here, and never asks. */
function aptCommand(suite: string, mirror: DebianMirror): readonly string[] {
  const dir = cacheDir('apt', suite);
  for (const below of ['lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(dir, below), { recursive: true });
  }
  const sources = join(dir, 'sources.list');
  writeFileSync(sources, `deb [signed-by=${mirror.keyring}] ${mirror.uri} ${suite} main\n`);
  writeFileSync(join(dir, 'status'), '');
  const settings = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(dir, 'lists'),
    'Dir::State::Status': join(dir, 'status'),
    'Dir::Cache': join(dir, 'cache'),
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '20',
    'Acquire::https::Timeout': '20',
    // Signatures are checked; their age is not, as mirrors of test networks often stand still.
    'Acquire::Check-Valid-Until': 'false',
    'APT::Sandbox::User': 'root',
    'APT::Update::Error-Mode': 'any',
  };
  return [
    'apt-get',
    '-qq',
    ...Object.entries(settings).flatMap(([key, to]) => ['-o', `${key}=${to}`]),
  ];
}

/** Library folders below a root of packages. */
function libraryDirs(root: string): readonly string[] {
  return ['usr/lib', 'lib']
    .map((dir) => join(root, dir))
    .filter((dir) => existsSync(dir))
    .flatMap((dir) =>
      readdirSync(dir)
        .filter((name) => name.endsWith('-linux-gnu'))
        .flatMap((name) => [join(dir, name), join(dir, name, 'systemd')]),
    )
    .filter((dir) => existsSync(dir));
}

function makeEntries(set: PackageSet, dir: string): void {
  const bin = join(dir, 'bin');
  const root = join(dir, 'root');
  for (const [name, program] of Object.entries(set.programs)) {
    const entry = join(bin, name);
    if (!existsSync(join(root, program.path))) {
      throw new TscError('E_LAB_PACKAGES', `${set.suite}: no ${program.path} in its packages`);
    }
    if (program.asLink === true) {
      symlinkSync(join('..', 'root', program.path), entry);
      continue;
    }
    writeFileSync(
      entry,
      entryScript(
        program,
        libraryDirs(root).map((lib) => relative(dir, lib)),
      ),
    );
    chmodSync(entry, 0o755);
  }
}

/**
 * A script, because a program that starts itself again through /proc/self/exe (dockerd, runc) must
 * find itself there and not a loader. Paths start at the script, so the cache may be moved.
 */
function entryScript(program: Program, libraries: readonly string[]): string {
  const path = libraries.map((dir) => `$here/${dir}`).join(':');
  const words = [`"$here/${join('root', program.path)}"`, ...(program.arguments ?? []), '"$@"'];
  const lines = ['#!/bin/sh', 'here=${0%/*}/..'];
  if (libraries.length > 0) {
    lines.push(`LD_LIBRARY_PATH=${path}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}`);
    const xtables = libraries.find((dir) => dir.startsWith('root/usr'));
    lines.push(`XTABLES_LIBDIR=$here/${xtables}/xtables`, 'export LD_LIBRARY_PATH XTABLES_LIBDIR');
  }
  return [...lines, `exec ${words.join(' ')}`, ''].join('\n');
}
