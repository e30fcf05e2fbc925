/** `scale`: sets the number of replicas and waits until they are ready. */
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode } from '../cli.ts';
import { followRollout } from '../follow.ts';
import { projectName } from '../load.ts';
import { parseScale } from '../values.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('<service=count...>', 'for example web=3')
    .option('--no-deps', 'accepted for compatibility: other services are never touched')
    .option('--no-wait', 'return when the change is stored, before it is carried out');
  attach(command, async (cli, pairs) => {
    const scale = parseScale(pairs);
    const project = await projectName(cli);
    const before = await cli.client.snapshot(cli.signal);
    await cli.client.scale(project, { scale }, cli.signal);
    if (!command.opts<{ wait: boolean }>().wait) return exitCode.ok;
    const { code } = await followRollout(cli, {
      project,
      services: Object.keys(scale),
      pointerHlc: 0,
      before,
      timeoutMs: undefined,
    });
    return code;
  });
};
