/** A stand-in for an engine that speaks Docker's streams: logs, followed or not, and exec. */
import type * as http from 'node:http';
import type { LocalDocker } from '../../../agent/api.ts';

export function frame(stream: 1 | 2, text: string): Buffer {
  const body = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(body.length, 4);
  return Buffer.concat([head, body]);
}

export interface StandIn {
  readonly docker: LocalDocker;
  readonly logQueries: URLSearchParams[];
  readonly execBodies: { [key: string]: unknown }[];
  /** Followed logs that are still open, by container. */
  readonly open: Map<string, http.ServerResponse>;
  exitCode: number;
}

/** Logs of a line on each stream, exec that answers what it got; ids with "tty" have a terminal. */
export function standIn(): StandIn {
  const state: StandIn = {
    logQueries: [],
    execBodies: [],
    open: new Map(),
    exitCode: 0,
    docker: {
      request(request, response, path) {
        void answer(request, response, path);
      },
      upgrade(_request, socket, head) {
        socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
        let input = head.toString().replace(/^\{.*?\}/, '');
        socket.on('data', (chunk: Buffer) => {
          input += chunk.toString();
        });
        socket.on('end', () => {
          socket.write(frame(2, 'to stderr\n'));
          socket.end(frame(1, `got ${input.replace(/^\{.*?\}/, '')}`));
        });
      },
    },
  };
  async function answer(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ): Promise<void> {
    const url = new URL(path, 'http://engine');
    const [, id = '', what] = /^\/(?:containers|exec)\/([^/]+)\/(\w+)$/.exec(url.pathname) ?? [];
    const json = (value: unknown): void => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (what === 'logs') {
      state.logQueries.push(url.searchParams);
      response.writeHead(200);
      if (id.includes('tty')) response.end('plain\r\nbytes');
      else {
        response.write(frame(1, `hello from ${id}\n`));
        response.write(frame(2, 'a complaint\n'));
        if (url.searchParams.get('follow') === '1') state.open.set(id, response);
        else response.end();
      }
    } else if (what === 'exec') {
      let text = '';
      for await (const chunk of request) text += String(chunk);
      state.execBodies.push(JSON.parse(text) as { [key: string]: unknown });
      json({ Id: 'e1' });
    } else if (url.pathname.startsWith('/exec/'))
      json({ Running: false, ExitCode: state.exitCode });
    else if (id === 'id-shop-gone-1') {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ message: 'No such container: gone' }));
    } else json({ Config: { Tty: id.includes('tty') } });
  }
  return state;
}
