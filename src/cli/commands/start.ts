/** `start`: starts the containers of stopped services, those that they need first. */
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode } from '../cli.ts';
import { followOperated, operate } from '../operate.ts';
import { parseCount } from '../values.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to start, with all they depend on; default: all')
    .option('--wait', 'wait until all is ready', true)
    .option('--no-wait', 'return when the order is stored, before it is carried out')
    .option('--wait-timeout <seconds>', 'give up waiting after this time');
  attach(command, async (cli, services) => {
    const { wait, waitTimeout } = command.opts<{ wait: boolean; waitTimeout?: string }>();
    const timeoutMs =
      waitTimeout === undefined ? undefined : parseCount('--wait-timeout', waitTimeout, 1) * 1000;
    const operated = await operate(cli, { act: 'start', services });
    return wait ? followOperated(cli, operated, timeoutMs) : exitCode.ok;
  });
};
