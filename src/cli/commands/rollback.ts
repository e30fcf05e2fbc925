/**
 * `rollback`: goes back to an earlier revision of a project, without its file, and waits as `up`
 * does. What the revision's services need is on record; no tag is resolved anew.
 */
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode, say } from '../cli.ts';
import { dryRunLines } from '../dry-run.ts';
import { followRollout } from '../follow.ts';
import { projectName } from '../load.ts';

interface RollbackOptions {
  readonly to?: string;
  readonly dryRun?: boolean;
  readonly wait: boolean;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[project]', 'name of the project; default: that of the file')
    .option('--to <revision>', 'revision, or its beginning; default: the last that worked')
    .option('--dry-run', 'print what each machine would do, and change nothing')
    .option('--no-wait', 'return when the change is stored, before it is carried out');
  attach(command, async (cli, [named]) => {
    const { to, dryRun, wait } = command.opts<RollbackOptions>();
    const project = named ?? (await projectName(cli));
    const { stdout, stderr, env } = cli.io;
    const user = env.SUDO_USER || env.USER || undefined;
    const before = await cli.client.snapshot(cli.signal);
    const request = {
      isDryRun: dryRun ?? false,
      ...(to === undefined ? {} : { to }),
      ...(user === undefined ? {} : { user }),
    };
    const answer = await cli.client.rollback(project, request, cli.signal);
    for (const note of answer.notes) say(stderr, `note: ${note}`);
    if (request.isDryRun) {
      for (const line of dryRunLines(answer.steps, before, project)) say(stdout, line);
      return exitCode.ok;
    }
    if (!wait) return exitCode.ok;
    const { code } = await followRollout(cli, {
      project,
      services: answer.changed,
      pointerHlc: answer.pointerHlc,
      before,
      timeoutMs: undefined,
    });
    if (code === exitCode.ok) say(stderr, `${project}: the earlier revision is in force.`);
    return code;
  });
};
