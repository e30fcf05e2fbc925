/**
 * Asks whether a container's ports accept connections: the only fact of readiness that Docker does
 * not report. It decides nothing; src/plan/readiness.ts says what an open port means.
 */
import { connect } from 'node:net';

/** 500 ms: on the same machine a connection takes microseconds; silence is an answer, too. */
const connectTimeoutMs = 500;

/** Whether a TCP connection to the address is accepted in time. */
export function acceptsConnections(ip: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port });
    const timer = setTimeout(() => answer(false), connectTimeoutMs);
    const answer = (accepts: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(accepts);
    };
    socket.once('connect', () => answer(true));
    // Refused, unreachable: the reason does not matter, it is asked again.
    socket.once('error', () => answer(false));
  });
}

/** Whether every one of the ports accepts; an empty list does. */
export async function allAccept(ip: string, ports: readonly number[]): Promise<boolean> {
  const answers = await Promise.all(ports.map((port) => acceptsConnections(ip, port)));
  return answers.every((accepts) => accepts);
}
