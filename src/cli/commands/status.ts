/**
 * `status`: the whole cluster on one screen, live: machines, services, replicas. Without a terminal
 * the same as tables, once.
 */
import type { Snapshot } from '../../model/snapshot.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { exitCode, say } from '../cli.ts';
import { hasColour } from '../colour.ts';
import { statusObject } from '../status/objects.ts';
import { panesOf } from '../status/panes.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

interface StatusOptions {
  readonly format?: string;
}

export const define: CommandModule['define'] = (command, attach) => {
  command.option('--format <format>', 'table, or json: one object; both print once');
  attach(command, async (cli) => {
    const { format } = command.opts<StatusOptions>();
    const isScreen = format === undefined && hasScreen(cli);
    const chosen = parseFormat(format);
    const snapshot = await cli.client.snapshot(cli.signal);
    if (isScreen) return showScreen(cli, snapshot);
    if (chosen === 'json') say(cli.io.stdout, JSON.stringify(statusObject(snapshot)));
    else for (const line of statusTables(snapshot)) say(cli.io.stdout, line);
    return exitCode.ok;
  });
};

/** @returns the lists of the screen as tables, and the notes */
export function statusTables(snapshot: Snapshot): readonly string[] {
  const status = statusObject(snapshot);
  const tables = panesOf(status, snapshot.nowMs).map(({ columns, rows, empty }) =>
    rows.length === 0
      ? [empty]
      : formatTable(
          columns.map(({ head }) => head),
          rows.map(({ cells }) => cells),
        ),
  );
  const notes = status.notes.map((note) => `note: ${note}`);
  return [...tables, ...(notes.length === 0 ? [] : [notes])].flatMap((lines, index) =>
    index === 0 ? lines : ['', ...lines],
  );
}

function hasScreen({ io, flags }: Cli): boolean {
  const isTerminal = io.stdout.isTTY === true && io.stdin.isTTY;
  return isTerminal && io.env.TERM !== 'dumb' && flags.ansi !== 'never';
}

async function showScreen(cli: Cli, first: Snapshot): Promise<number> {
  const [{ openScreen }, { StatusSource }] = await Promise.all([
    import('../status/screen.tsx'),
    import('../status/source.ts'),
  ]);
  const { stdin, now } = cli.io;
  const source = new StatusSource(cli.client, first, now);
  const left = new AbortController();
  let isInterrupted = false;
  const screen = openScreen(
    source,
    { stdin, stdout: process.stdout },
    {
      hasColour: hasColour(cli, cli.io.stdout),
      onLeave: (interrupted) => {
        isInterrupted = interrupted;
        left.abort();
      },
    },
  );
  // A screen that broke ends the command; `close` brings its error out.
  screen.closed.catch(() => undefined).finally(() => left.abort());
  try {
    await source.follow(AbortSignal.any([cli.signal, left.signal]));
  } finally {
    await screen.close();
  }
  return isInterrupted || cli.signal.aborted ? exitCode.interrupted : exitCode.ok;
}
