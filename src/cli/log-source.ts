/** The log of one container through the agent, as lines; ends when the log does. */
import type Dockerode from 'dockerode';
import type { AgentClient } from '../client/agent-client.ts';
import { dockerError } from '../client/docker-error.ts';
import type { ContainerView } from '../model/view.ts';
import type { StreamName } from './log-frames.ts';
import { FrameReader, LineReader } from './log-frames.ts';

export interface LogOptions {
  readonly follow: boolean;
  /** "all" or a number, as docker takes it. */
  readonly tail: string;
  readonly timestamps: boolean;
  /** Unix seconds with a fraction, or ""; as docker takes it. */
  readonly since: string;
  readonly until: string;
  readonly signal: AbortSignal;
}

/**
 * Calls back with every line.
 * @throws TscError E_MACHINE_UNREACHABLE, E_ENGINE, E_AGENT_UNREACHABLE
 */
export async function readLog(
  client: AgentClient,
  { machine, id }: ContainerView,
  options: LogOptions,
  onLine: (stream: StreamName, line: string) => void,
): Promise<void> {
  try {
    const docker = await client.docker(machine);
    const { Config } = await docker.getContainer(id).inspect({ abortSignal: options.signal });
    const stream = await openLog(docker.modem, id, options);
    await readLines(stream, Config.Tty, onLine);
  } catch (error) {
    if (options.signal.aborted) return;
    throw dockerError(error, client.socketPath);
  }
}

// dockerode's `logs` keeps the whole log in memory unless it follows; the modem below it does not.
function openLog(
  modem: Dockerode['modem'],
  id: string,
  options: LogOptions,
): Promise<NodeJS.ReadableStream> {
  const query: Record<string, string | number> = {
    follow: options.follow ? 1 : 0,
    stdout: 1,
    stderr: 1,
    tail: options.tail,
    timestamps: options.timestamps ? 1 : 0,
    ...(options.since === '' ? {} : { since: options.since }),
    ...(options.until === '' ? {} : { until: options.until }),
  };
  return new Promise((resolve, reject) => {
    modem.dial(
      {
        path: `/containers/${id}/logs?`,
        method: 'GET',
        isStream: true,
        abortSignal: options.signal,
        statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
        options: query,
      },
      // With `isStream` the answer is the response, which docker-modem leaves untyped.
      (error: unknown, stream: unknown) => {
        if (error) reject(error as Error);
        else resolve(stream as NodeJS.ReadableStream);
      },
    );
  });
}

async function readLines(
  stream: NodeJS.ReadableStream,
  isTty: boolean,
  onLine: (stream: StreamName, line: string) => void,
): Promise<void> {
  const frames = new FrameReader();
  const readers = { stdout: new LineReader(), stderr: new LineReader() };
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    const parts = isTty ? [{ stream: 'stdout' as const, bytes }] : frames.push(bytes);
    for (const part of parts) {
      for (const line of readers[part.stream].push(part.bytes)) onLine(part.stream, line);
    }
  }
  for (const name of ['stdout', 'stderr'] as const) {
    for (const line of readers[name].end()) onLine(name, line);
  }
}
