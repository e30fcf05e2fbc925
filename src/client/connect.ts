/**
 * Reaches one agent. The only way in is the agent's unix socket; whoever may open it may do
 * anything, so there is no password here and nothing listens on TCP. Through that one agent every
 * machine is reached: it forwards the Docker API of the others.
 */
import { AgentClient } from './agent-client.ts';

export const defaultSocketPath = '/run/tsc-compose/agent.sock';

export interface ConnectOptions {
  /** Default: TSC_COMPOSE_SOCKET of the environment, else /run/tsc-compose/agent.sock. */
  readonly socketPath?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Makes a client; nothing is opened before the first call.
 * @returns a client for the agent behind the socket
 */
export function connect(options: ConnectOptions = {}): AgentClient {
  const env = options.env ?? process.env;
  return new AgentClient(options.socketPath || env.TSC_COMPOSE_SOCKET || defaultSocketPath);
}
