/** Runs the command in this process against a real API server with fake components. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { ApiServer } from '../../../agent/api.ts';
import type { Io } from '../../../src/cli/cli.ts';
import { run } from '../../../src/cli/main.ts';
import { type FakeAgent, fakeAgent } from '../api/fakes.ts';

export interface Harness {
  readonly folder: string;
  readonly agent: FakeAgent;
  write(path: string, text: string): void;
  tsc(...args: string[]): Promise<Result>;
  /** As `tsc`, with variables and standard input. */
  tscWith(options: RunOptions, ...args: string[]): Promise<Result>;
  stop(): Promise<void>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param folder one that an earlier harness has left, to be the same agent again */
export async function harness(agent = fakeAgent(), folder = newFolder()): Promise<Harness> {
  mkdirSync(folder, { recursive: true });
  const socketPath = join(folder, 'agent.sock');
  const server = new ApiServer(agent.components, { socketPath });
  await server.start();
  const tscWith = async ({ env = {}, input = '' }: RunOptions, ...args: string[]) => {
    const out = { stdout: '', stderr: '' };
    const stdin = new PassThrough();
    stdin.end(input);
    const sink = (name: 'stdout' | 'stderr') => ({
      write: (text: string | Uint8Array) => {
        out[name] += Buffer.from(text).toString();
      },
    });
    const io: Io = {
      // Commands use a stream of bytes; a terminal's own calls are for terminals only.
      stdin: stdin as unknown as NodeJS.ReadStream,
      stdout: sink('stdout'),
      stderr: sink('stderr'),
      env: { TSC_COMPOSE_SOCKET: socketPath, ...env },
      cwd: folder,
      now: () => Date.now(),
    };
    const code = await run(args, '1.2.3', io);
    return { code, ...out };
  };
  return {
    folder,
    agent,
    write(path, text) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    },
    tsc: (...args) => tscWith({}, ...args),
    tscWith,
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true });
    },
  };
}

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'tsc-cli-'));
}
