/** What the scorer of the golden cases imports: one `config` call in this process. */
import { hash } from 'node:crypto';
import { configCommand } from '../../src/cli/config.ts';
import { FsReader } from '../../src/cli/fs-reader.ts';
import { formatError, TscError } from '../../src/lib/errors.ts';
import { parseConfigArgs } from './config-args.ts';

export interface ConfigCall {
  readonly cwd: string;
  readonly args: readonly string[];
  readonly cmd: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface ConfigAnswer {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `config`; any error but a fault of the file goes through, and counts as a crash. */
export function config(call: ConfigCall): ConfigAnswer {
  let stdout = '';
  let stderr = '';
  try {
    const exit = configCommand(parseConfigArgs([...call.args, ...call.cmd]), {
      cwd: call.cwd,
      env: call.env,
      reader: new FsReader(),
      sha256: (text) => hash('sha256', text),
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
    });
    return { exit, stdout, stderr };
  } catch (error) {
    if (!(error instanceof TscError)) throw error;
    // The cases tell kinds of errors apart by the words of the reference, which are not ours.
    const words = ['E_COMPOSE_SCHEMA', 'E_COMPOSE_UNKNOWN_KEY'].includes(error.code)
      ? 'validating '
      : '';
    return {
      exit: 1,
      stdout: '',
      stderr: `${stderr}${words}${error.message}\n${formatError(error)}\n`,
    };
  }
}
