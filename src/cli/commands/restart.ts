/**
 * `restart`: restarts containers, stopped ones included, as an update would go through them:
 * `update_config.parallelism` at a time, the next when those are ready again.
 */
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode } from '../cli.ts';
import { followOperated, graceOf, operate } from '../operate.ts';

interface RestartOptions {
  readonly timeout?: string;
  readonly deps: boolean;
  readonly index?: string;
  readonly wait: boolean;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to restart; default: all')
    .option('-t, --timeout <seconds>', 'kill what has not ended after this time')
    .option('--no-deps', 'without services that are to be restarted with these')
    .option('--index <slot>', 'only this replica')
    .option('--no-wait', 'return when the order is stored, before it is carried out');
  attach(command, async (cli, services) => {
    const { timeout, deps, index, wait } = command.opts<RestartOptions>();
    const operated = await operate(cli, {
      act: 'restart',
      services,
      withoutDependents: !deps || index !== undefined,
      ...(index === undefined ? {} : { slot: index }),
      ...graceOf(timeout),
    });
    return wait ? followOperated(cli, operated) : exitCode.ok;
  });
};
