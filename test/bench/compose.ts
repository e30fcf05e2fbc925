/**
 * The loader beside the reference: `config` of both as whole processes, by the clock, run in turns
 * so that both meet the same noise, and the best run of each, which other programs disturbed least; and how many real files a second the loader reads by itself.
 * The real files are those of the golden cases: without these, their figures are left out.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { buildIfStale } from '../../scripts/lib/build-if-stale.ts';
import { loadProject } from '../../src/compose/index.ts';
import { CaseReader, loadOptionsOf } from '../conformance/case-project.ts';
import { type Case, casesDirectory, readCases } from '../conformance/compose-cases.ts';
import { ensurePackages, toolPath } from '../lab/packages.ts';
import { type Bench, type Figure, figure } from './figure.ts';

const runCount = 25;
const bigServiceCount = 1000;
/** Of the loader in this process: once to warm up, then the best of these. */
const roundCount = 5;
const cli = join(resolve(import.meta.dirname, '../..'), 'bin/tsc-compose.cjs');

export const bench: Bench = async (progress) => {
  await buildIfStale();
  const reference = toolPath(await ensurePackages('compose'), 'docker-compose');
  const base = mkdtempSync(join(tmpdir(), 'tsc-compose-bench-'));
  try {
    const figures: Figure[] = [];
    const real = realFiles(progress);
    const projects: readonly (readonly [string, Readonly<Record<string, string>>, number])[] = [
      ['config, small file', { 'compose.yaml': smallFile }, 1.5],
      ...largest(real).map((files) => ['config, largest real file', files, 1.5] as const),
      [`config, ${bigServiceCount} services`, { 'compose.yaml': bigFile() }, 1],
    ];
    for (const [index, [name, files, goal]] of projects.entries()) {
      const folder = join(base, `project-${index}`);
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text);
      }
      progress(`${name}: ${runCount} runs of each in turn`);
      const own: number[] = [];
      const theirs: number[] = [];
      for (let run = 0; run < runCount; run++) {
        own.push(wallMs(process.execPath, [cli, 'config', '--format', 'json'], folder));
        theirs.push(wallMs(reference, ['config', '--format', 'json'], folder));
      }
      const peer = { name: 'docker-compose', value: Math.min(...theirs) };
      figures.push(figure(name, Math.min(...own), 'ms', { peer, goal }));
    }
    if (real.length > 0) figures.push(filesPerSecond(real));
    return figures;
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
};

function wallMs(program: string, args: readonly string[], cwd: string): number {
  const startMs = performance.now();
  const env = { PATH: '/usr/bin:/bin', HOME: process.env.HOME ?? '/' };
  const { status, stderr } = spawnSync(program, args, {
    cwd,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const tookMs = performance.now() - startMs;
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${String(stderr)}`);
  return tookMs;
}

/** Files that the reference accepts, and that need nothing but themselves to be found. */
function realFiles(progress: (line: string) => void): readonly Case[] {
  const directory = casesDirectory();
  if (directory === undefined) {
    progress('skipped: real files, as the golden cases are not here (TSC_COMPOSE_CASES)');
    return [];
  }
  return readCases(directory, 1).filter(
    ({ group, expect: { exit } }) => group.startsWith('a-') && exit === 0,
  );
}

function largest(cases: readonly Case[]): readonly Readonly<Record<string, string>>[] {
  const alone = cases.filter(({ args, env, cwd, files }) => {
    const isOutside = Object.keys(files).some((path) => path.startsWith('..'));
    return (
      !isOutside && [args, cwd].every((part) => !part?.length) && !Object.keys(env ?? {}).length
    );
  });
  const size = ({ files }: Case): number => Object.values(files).join('').length;
  const [first] = [...alone].sort((a, b) => size(b) - size(a));
  return first === undefined ? [] : [first.files];
}

function filesPerSecond(cases: readonly Case[]): Figure {
  const seconds = Array.from({ length: roundCount + 1 }, () => {
    const startMs = performance.now();
    for (const real of cases) loadProject(loadOptionsOf(real), new CaseReader(real));
    return (performance.now() - startMs) / 1000;
  });
  const best = Math.min(...seconds.slice(1));
  return figure(`loader alone, ${cases.length} real files`, cases.length / best, 'files/s');
}

const smallFile = `services:
  web:
    image: nginx:\${TAG:-1.29}
    ports: ["8080:80"]
    environment: { REDIS: redis }
    depends_on: [redis]
  redis:
    image: redis:7
    volumes: ["data:/data"]
volumes:
  data:
`;

function bigFile(): string {
  const services = Array.from({ length: bigServiceCount }, (_, index) => {
    const before = index === 0 ? '' : `    depends_on: [s${index - 1}]\n`;
    return `  s${index}:
    image: registry.example.com/team/app-${index}:\${TAG:-1.0}
    command: ["run", "--index", "${index}"]
    environment:
      INDEX: ${index}
      LEVEL: \${LEVEL:-info}
      NAME: service-${index}
    ports: ["${10_000 + index}:80"]
    volumes: ["data:/data", "./conf:/etc/app:ro"]
    labels: { com.example.team: "t${index % 7}" }
    healthcheck: { test: "curl -f http://localhost/", interval: 10s, retries: 3 }
    deploy: { resources: { limits: { cpus: "0.5", memory: 64M } } }
${before}`;
  });
  return `services:\n${services.join('')}volumes:\n  data:\n`;
}
