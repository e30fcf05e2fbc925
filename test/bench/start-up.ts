/**
 * What a command costs before it does anything, in CPU time beside an empty Node: wall time is
 * unusable on a shared machine.
 */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { type Bench, type Figure, figure, median } from './figure.ts';

const runCount = 15;
const cli = join(resolve(import.meta.dirname, '../..'), 'bin/tsc-compose.cjs');

/** User and system CPU of one run of Node, in ms, as the kernel accounts it to this process's children. */
function cpuMs(args: readonly string[]): number {
  const script =
    'const {spawnSync}=require("node:child_process");spawnSync(process.execPath,JSON.parse(process.argv[1]),{stdio:"ignore"});' +
    'const fs=require("node:fs");const f=fs.readFileSync("/proc/self/stat","utf8").split(") ")[1].split(" ");console.log((Number(f[13])+Number(f[14]))*10)';
  const result = spawnSync(process.execPath, ['-e', script, JSON.stringify(args)], {
    encoding: 'utf8',
  });
  return Number(result.stdout);
}

/** Figures for `--version`, help and `config` of a small file. */
export const bench: Bench = async (progress) => {
  const cases: readonly (readonly [string, readonly string[], number])[] = [
    ['--version', [cli, '--version'], 1.5],
    ['ps --help', [cli, 'ps', '--help'], 1.6],
    ['config of the guestbook', [cli, '-f', 'samples/guestbook/compose.yaml', 'config'], 2.5],
  ];
  const figures: Figure[] = [];
  for (const [name, args, goal] of cases) {
    progress(`${name}: ${runCount} runs beside an empty node`);
    const own: number[] = [];
    const empty: number[] = [];
    for (let run = 0; run < runCount; run++) {
      empty.push(cpuMs(['-e', '0']));
      own.push(cpuMs(args));
    }
    figures.push(
      figure(name, median(own), 'ms CPU', {
        peer: { name: 'node -e 0', value: median(empty) },
        goal,
      }),
    );
  }
  return await Promise.resolve(figures);
};
