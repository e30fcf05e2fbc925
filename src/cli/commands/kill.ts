/**
 * `kill`: sends a signal to running containers. A signal that ends a program (KILL, TERM, INT, QUIT,
 * ABRT, and the service's own stop signal) stops the service as well, so that nothing restarts what
 * was killed; any other one leaves it as it is. With SIGKILL the end is waited for.
 */
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode } from '../cli.ts';
import { operate, runningWithin, untilSeen } from '../operate.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to send it to; default: all')
    .option('-s, --signal <signal>', 'name or number', 'SIGKILL')
    .option('--index <slot>', 'only this replica; its restart policy decides what follows');
  attach(command, async (cli, services) => {
    const { signal, index } = command.opts<{ signal: string; index?: string }>();
    const operated = await operate(cli, {
      act: 'kill',
      services,
      signal,
      ...(index === undefined ? {} : { slot: index }),
    });
    const isEnd = /^(sig)?kill$|^9$/i.test(signal) && index === undefined;
    if (!isEnd) return exitCode.ok;
    return untilSeen(cli, operated, (seen) => runningWithin(seen, operated).length === 0);
  });
};
