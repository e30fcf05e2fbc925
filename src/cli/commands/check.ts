/** `check`: says for every key of the file whether it is honoured, translated or refused. */
import type { KeyVerdict } from '../../compose/index.ts';
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, count, exitCode, say } from '../cli.ts';
import { loadFor } from '../load.ts';
import { shownPlace } from '../places.ts';
import { requireXPorts } from '../support.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

interface CheckOptions {
  readonly all?: boolean;
  readonly format?: string;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .option('-a, --all', 'also keys that are honoured as they stand')
    .option('--format <format>', 'table, or json: one array');
  attach(command, async (cli) => {
    const options = command.opts<CheckOptions>();
    const format = parseFormat(options.format);
    const loaded = await loadFor(cli);
    const { project, positions } = loaded;
    const { checkSupport } = await import('../../compose/index.ts');
    const verdicts = checkSupport(project, positions);
    const { cwd } = cli.io;
    const shown = verdicts.filter(({ verdict }) => options.all || verdict !== 'honoured');
    const { stdout, stderr } = cli.io;
    if (format === 'json')
      say(stdout, JSON.stringify(shown.map((verdict) => checkObject(verdict, cwd))));
    else if (shown.length > 0) {
      const rows = shown.map((verdict) => {
        const { key, verdict: word, place, note } = checkObject(verdict, cwd);
        return [key, word, place, note];
      });
      for (const line of formatTable(['KEY', 'VERDICT', 'PLACE', 'NOTE'], rows)) say(stdout, line);
    }
    const refusedCount = verdicts.filter(({ verdict }) => verdict === 'refused').length;
    requireXPorts(loaded);
    say(stderr, `${count(verdicts.length, 'key')}, ${refusedCount} refused`);
    return refusedCount === 0 ? exitCode.ok : exitCode.failed;
  });
};

/** @returns the object of `check --format json` */
function checkObject({ path, verdict, note = '', where }: KeyVerdict, cwd: string) {
  const shown = where === undefined ? undefined : shownPlace(where, cwd);
  const place = [shown?.file, shown?.line, shown?.column].filter((part) => part !== undefined);
  return { key: path, verdict, place: place.join(':'), note };
}
