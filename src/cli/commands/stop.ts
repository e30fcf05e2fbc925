/** `stop`: ends the containers of services and keeps them; `start` or `up` starts them again. */
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode } from '../cli.ts';
import { graceOf, operate, runningWithin, untilSeen } from '../operate.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to stop; default: all')
    .option('-t, --timeout <seconds>', 'kill what has not ended after this time')
    .option('--no-wait', 'return when the order is stored, before it is carried out');
  attach(command, async (cli, services) => {
    const { timeout, wait } = command.opts<{ timeout?: string; wait: boolean }>();
    const operated = await operate(cli, { act: 'stop', services, ...graceOf(timeout) });
    if (!wait) return exitCode.ok;
    return untilSeen(cli, operated, (seen) => runningWithin(seen, operated).length === 0);
  });
};
