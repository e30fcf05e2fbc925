/**
 * `logs`: the output of the project's containers, from whichever machine they are on, with the
 * container's name before each line. With -f, replicas that start later are followed as well.
 */
import { TscError } from '../../lib/errors.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ContainerView } from '../../model/view.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { exitCode, say } from '../cli.ts';
import type { Painter } from '../colour.ts';
import { painter, prefixColours } from '../colour.ts';
import { projectName } from '../load.ts';
import { LogFollower } from '../log-follower.ts';
import type { StreamName } from '../log-frames.ts';
import { logPrefix } from '../log-frames.ts';
import { shortName } from '../rollout-lines.ts';

interface LogsOptions {
  readonly follow?: boolean;
  readonly tail: string;
  readonly timestamps?: boolean;
  readonly logPrefix: boolean;
  readonly color: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly index?: string;
}

export const define: CommandModule['define'] = (command, attach) => {
  command
    .argument('[service...]', 'services; default: all')
    .option('-f, --follow', 'go on with what is written from now on')
    .option('-n, --tail <lines>', 'number of lines from the end of each log, or all', 'all')
    .option('-t, --timestamps', 'show when each line was written')
    .option('--since <when>', 'lines since then: a time stamp, or a duration such as 10m')
    .option('--until <when>', 'lines until then')
    .option('--index <slot>', 'only this replica')
    .option('--no-log-prefix', 'without the name of the container')
    .option('--no-color', 'without colours');
  attach(command, (cli, services) => logs(cli, services, command.opts<LogsOptions>()));
};

async function logs(cli: Cli, services: readonly string[], options: LogsOptions): Promise<number> {
  const project = await projectName(cli);
  const matches = (container: ContainerView): boolean =>
    container.project === project &&
    (services.length === 0 || services.includes(container.service)) &&
    (options.index === undefined || container.slot === options.index);
  const snapshot = await cli.client.snapshot(cli.signal);
  requireKnown(snapshot, project, services);
  const reader = new LogPrinter(cli, project, options);
  reader.show(snapshot.containers.filter(matches));
  if (options.follow) {
    await cli.client.watch((next) => reader.show(next.containers.filter(matches)), cli.signal);
  }
  await reader.done();
  return cli.signal.aborted ? exitCode.interrupted : exitCode.ok;
}

/** Prints lines with the name of their container, in columns as wide as the widest name so far. */
class LogPrinter {
  readonly #cli: Cli;
  readonly #project: string;
  readonly #options: LogsOptions;
  readonly #paint: Painter;
  readonly #follower: LogFollower;
  readonly #names: string[] = [];
  #width = 0;

  constructor(cli: Cli, project: string, options: LogsOptions) {
    this.#cli = cli;
    this.#project = project;
    this.#options = options;
    this.#paint = options.color ? painter(cli, cli.io.stdout) : (_colour, text) => text;
    const nowMs = cli.io.now();
    const logOptions = {
      follow: options.follow ?? false,
      tail: options.tail,
      timestamps: options.timestamps ?? false,
      since: logTime(options.since, nowMs),
      until: logTime(options.until, nowMs),
      signal: cli.signal,
    };
    this.#follower = new LogFollower(cli.client, logOptions, {
      onLine: (container, stream, line) => this.#print(container, stream, line),
      onProblem: ({ name }, error) => {
        say(cli.io.stderr, `${shortName(name, project)}: ${error.message}`);
        if (error.code === 'E_AGENT_UNREACHABLE' && options.follow !== true) throw error;
      },
    });
  }

  show(containers: readonly ContainerView[]): void {
    for (const container of containers) {
      const name = shortName(container.name, this.#project);
      this.#width = Math.max(this.#width, name.length);
      if (!this.#names.includes(name)) this.#names.push(name);
    }
    this.#follower.show(containers);
  }

  done(): Promise<void> {
    return this.#follower.done();
  }

  #print(container: ContainerView, stream: StreamName, line: string): void {
    const name = shortName(container.name, this.#project);
    const colour = prefixColours[this.#names.indexOf(name) % prefixColours.length] ?? 'cyan';
    const isNamed = this.#options.logPrefix;
    const prefix = isNamed ? this.#paint(colour, logPrefix(name, this.#width)) : '';
    say(this.#cli.io[stream], `${prefix}${line}`);
  }
}

/**
 * Turns a time of --since or --until into unix seconds: "10m" and "1h30m" count back from now.
 * @throws TscError E_USAGE_TIME
 */
export function logTime(text: string | undefined, nowMs: number): string {
  if (text === undefined) return '';
  if (/^\d+(\.\d+)?$/.test(text)) return text;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length > 0 && parts.map(([part]) => part).join('') === text) {
    const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
    const backMs = parts.reduce(
      (sum, [, amount, unit]) => sum + Number(amount) * unitMs[unit as keyof typeof unitMs],
      0,
    );
    return `${(nowMs - backMs) / 1000}`;
  }
  const atMs = Date.parse(text);
  if (Number.isFinite(atMs)) return `${atMs / 1000}`;
  throw new TscError('E_USAGE_TIME', `"${text}" is neither a time nor a duration`, {
    hint: 'for example 2026-01-31T12:00:00Z, or 10m',
  });
}

function requireKnown(snapshot: Snapshot, project: string, services: readonly string[]): void {
  const known = snapshot.projects.find(({ name }) => name === project);
  for (const service of services) {
    const isKnown =
      known?.services.some(({ name }) => name === service) ||
      snapshot.containers.some((c) => c.project === project && c.service === service);
    if (!isKnown) {
      throw new TscError('E_SERVICE_UNKNOWN', `no such service: ${service}`, {
        hint: `project ${project}; see \`tsc-compose ps -a\``,
      });
    }
  }
}
