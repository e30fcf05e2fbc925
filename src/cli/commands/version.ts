/** `version`: of the command and of the agent, so that a difference is seen. */
import { TscError } from '../../lib/errors.ts';
import type { InfoAnswer } from '../../model/api.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { exitCode, say } from '../cli.ts';
import { parseFormat } from '../values.ts';

export const define: CommandModule['define'] = (command, attach) => {
  command.option('--format <format>', 'table, or json: one object');
  attach(command, async (cli) => {
    const format = parseFormat(command.opts<{ format?: string }>().format);
    const info = await agentInfo(cli);
    if (format === 'json') {
      const agent = info === undefined ? null : info.agentVersion;
      say(cli.io.stdout, JSON.stringify({ version: cli.version, agent }));
      return exitCode.ok;
    }
    say(cli.io.stdout, `tsc-compose version ${cli.version}`);
    if (info === undefined) say(cli.io.stdout, 'agent: not reachable');
    else say(cli.io.stdout, `agent version ${info.agentVersion}, engine ${info.engine ?? 'none'}`);
    return exitCode.ok;
  });
};

async function agentInfo(cli: Cli): Promise<InfoAnswer | undefined> {
  try {
    return await cli.client.info(cli.signal);
  } catch (error) {
    if (error instanceof TscError && error.code === 'E_AGENT_UNREACHABLE') return undefined;
    throw error;
  }
}
