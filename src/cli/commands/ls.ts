/** `ls`: the projects of the cluster. */
import type { Snapshot } from '../../model/snapshot.ts';
import type { CommandModule } from '../cli.ts';
import { exitCode, say } from '../cli.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

interface LsOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly format?: string;
}

export const define: CommandModule['define'] = (command, attach) => {
  command
    .option('-a, --all', 'also projects that are down and still have containers')
    .option('-q, --quiet', 'only names')
    .option('--format <format>', 'table, or json: one array');
  attach(command, async (cli) => {
    const options = command.opts<LsOptions>();
    const format = parseFormat(options.format);
    const rows = projectRows(await cli.client.snapshot(cli.signal), options.all ?? false);
    const { stdout } = cli.io;
    if (options.quiet) for (const { Name } of rows) say(stdout, Name);
    else if (format === 'json') say(stdout, JSON.stringify(rows));
    else {
      const cells = rows.map(({ Name, Status, ConfigFiles }) => [Name, Status, ConfigFiles]);
      for (const line of formatTable(['NAME', 'STATUS', 'CONFIG FILES'], cells)) say(stdout, line);
    }
    return exitCode.ok;
  });
};

export interface ProjectRow {
  readonly Name: string;
  readonly Status: string;
  readonly ConfigFiles: string;
}

/** @returns the projects with their containers counted by state: "exited(1), running(3)" */
export function projectRows(snapshot: Snapshot, all: boolean): readonly ProjectRow[] {
  return snapshot.projects.flatMap((project) => {
    const counts = new Map<string, number>();
    for (const container of snapshot.containers) {
      if (container.project !== project.name) continue;
      counts.set(container.state, (counts.get(container.state) ?? 0) + 1);
    }
    if (project.isRemoved && (!all || counts.size === 0)) return [];
    const states = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
    return [
      {
        Name: project.name,
        Status: states.map(([state, amount]) => `${state}(${amount})`).join(', ') || 'starting',
        ConfigFiles: project.composeFiles.join(','),
      },
    ];
  });
}
