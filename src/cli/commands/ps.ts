/** `ps`: the project's containers, on whichever machine they are. */
import { TscError } from '../../lib/errors.ts';
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, collect, exitCode, say } from '../cli.ts';
import { projectName } from '../load.ts';
import { psContainers, psHeads, psNotes, psObject, psRow } from '../ps-rows.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

interface PsOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly services?: boolean;
  readonly status?: readonly string[];
  readonly format?: string;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to list; default: all')
    .option('-a, --all', 'also containers that do not run')
    .option('-q, --quiet', 'only ids')
    .option('--services', 'only names of services')
    .option('--status <state>', 'only containers in this state; may be repeated', collect)
    .option('--format <format>', 'table, or json: one object per line');
  attach(command, async (cli, services) => {
    const options = command.opts<PsOptions>();
    const format = parseFormat(options.format);
    const project = await projectName(cli);
    const snapshot = await cli.client.snapshot(cli.signal);
    const known = snapshot.projects.find(({ name }) => name === project);
    const containers = psContainers(snapshot, {
      project,
      services,
      all: options.all ?? false,
      states: options.status ?? [],
    });
    for (const service of services) {
      const isKnown =
        known?.services.some(({ name }) => name === service) ||
        snapshot.containers.some((c) => c.project === project && c.service === service);
      if (!isKnown) throw new TscError('E_SERVICE_UNKNOWN', `no such service: ${service}`);
    }
    const { stdout } = cli.io;
    if (options.quiet) for (const { id } of containers) say(stdout, id);
    else if (options.services) {
      for (const service of new Set(containers.map((c) => c.service))) say(stdout, service);
    } else if (format === 'json') {
      for (const container of containers)
        say(stdout, JSON.stringify(psObject(container, snapshot)));
    } else {
      const rows = containers.map((container) => psRow(container, snapshot));
      for (const line of formatTable(psHeads, rows)) say(stdout, line);
      // Beside the table, not in it: scripts read the table.
      for (const line of psNotes(snapshot, project)) say(cli.io.stderr, line);
    }
    return exitCode.ok;
  });
};
