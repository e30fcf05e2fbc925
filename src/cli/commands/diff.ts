/** `diff`: what `up` of the file would change of what runs, by service and key. Changes nothing. */
import type { DefinitionAnswer } from '../../model/api.ts';
import { shortHash } from '../../plan/canonical.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode, say } from '../cli.ts';
import { painter } from '../colour.ts';
import { readContents } from '../contents.ts';
import { loadFor } from '../load.ts';
import { projectDiff } from '../project-diff.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[file...]', 'Compose files; default: those that up would read')
    .option('--exit-code', 'exit with 1 when something differs');
  attach(command, async (cli, files) => {
    const named = files.length === 0 ? cli : { ...cli, flags: { ...cli.flags, file: files } };
    const loaded = await loadFor(named);
    const { project } = loaded;
    const running = await runningDefinition(cli, project.name);
    const contents = await readContents(project, loaded);
    const contentHashes = Object.fromEntries(
      Object.entries(contents).map(([key, content]) => [key, shortHash(content)]),
    );
    const { stdout } = cli.io;
    const paint = painter(cli, stdout);
    const lines = projectDiff(running, { project, contentHashes });
    for (const { sign, text } of lines) {
      const colour = sign === '+' ? 'green' : 'red';
      say(stdout, sign === ' ' ? text : paint(colour, `${sign} ${text}`));
    }
    if (lines.length === 0) say(cli.io.stderr, `${project.name}: nothing would change.`);
    const isDifferent = lines.length > 0 && command.opts<{ exitCode?: boolean }>().exitCode;
    return isDifferent ? exitCode.failed : exitCode.ok;
  });
};

/** A project that does not run yet differs in everything. */
async function runningDefinition(cli: Cli, name: string): Promise<DefinitionAnswer> {
  const { projects } = await cli.client.snapshot(cli.signal);
  if (projects.some((project) => project.name === name && !project.isRemoved)) {
    return cli.client.definition(name, cli.signal);
  }
  return { project: { name, services: {} }, revision: '', scale: {}, contentHashes: {} };
}
