/** The agent's entry: options, signals, exit codes. bin/tsc-compose-agent.cjs calls `run`. */
import { CommanderError } from 'commander';
import { AssertionError } from '../src/lib/assert.ts';
import { formatError, TscError } from '../src/lib/errors.ts';
import { Agent } from './agent.ts';
import { createLog } from './log.ts';
import { type AgentOptions, parseAgentOptions } from './options.ts';

/** A fault of ours: the service manager restarts the agent. */
const bugExitCode = 70;

/**
 * Runs the agent until SIGTERM or SIGINT.
 * @param argv arguments without node and script
 * @returns the exit code
 */
export async function run(argv: readonly string[], version: string): Promise<number> {
  let options: AgentOptions;
  try {
    options = parseAgentOptions(argv, version);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  const log = createLog((line) => process.stderr.write(line), options.logLevel);
  const die = (error: unknown): never => {
    log.error('fault', { error });
    if (error instanceof Error && error.stack) process.stderr.write(`${error.stack}\n`);
    process.exit(bugExitCode);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  try {
    const agent = await Agent.start(options, version, log);
    const signal = await new Promise<NodeJS.Signals>((resolve) => {
      process.once('SIGTERM', resolve);
      process.once('SIGINT', resolve);
    });
    log.info('stopping', { signal });
    await agent.stop();
    return 0;
  } catch (error) {
    if (error instanceof TscError) {
      process.stderr.write(`${formatError(error)}\n`);
      return 1;
    }
    if (error instanceof AssertionError) return die(error);
    throw error;
  }
}
