/** `history`: the changes of a project, newest first, and how each ended. */
import type { HistoryEntry } from '../../model/api.ts';
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode, say } from '../cli.ts';
import { historyHeads, historyRow, verdictText } from '../history-rows.ts';
import { projectName } from '../load.ts';
import { machineName } from '../ps-rows.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[project]', 'name of the project; default: that of the file')
    .option('-q, --quiet', 'only revisions')
    .option('--format <format>', 'table, or json: one object per line');
  attach(command, async (cli, [named]) => {
    const { quiet, format } = command.opts<{ quiet?: boolean; format?: string }>();
    const wanted = parseFormat(format);
    const project = named ?? (await projectName(cli));
    const [{ entries }, snapshot] = await Promise.all([
      cli.client.history(project, cli.signal),
      cli.client.snapshot(cli.signal),
    ]);
    const { stdout } = cli.io;
    const object = (entry: HistoryEntry) => ({
      Revision: entry.revision,
      At: new Date(entry.atMs).toISOString(),
      Act: entry.act,
      User: entry.author.user ?? '',
      Machine: machineName(snapshot, entry.author.machine),
      Current: entry.isCurrent,
      Verdict: verdictText(entry),
      Services: entry.services,
    });
    if (quiet) for (const { revision } of entries) say(stdout, revision);
    else if (wanted === 'json') {
      for (const entry of entries) say(stdout, JSON.stringify(object(entry)));
    } else {
      const rows = entries.map((entry) => historyRow(entry, snapshot));
      for (const line of formatTable(historyHeads, rows)) say(stdout, line);
    }
    return exitCode.ok;
  });
};
