/**
 * The part of an agent that images need, for tests of pushes that need no cluster: serves
 * `/v1/machines/<name>/images/…` of its own machine and hands on those of others, as the agent
 * does. Runs inside a lab machine: `node push-agent.ts NAME FOLDER`, where FOLDER/<name>.sock are
 * the sockets of all.
 */
import * as http from 'node:http';
import * as net from 'node:net';
import { join } from 'node:path';
import { forwardRequest } from '../../agent/api-forward.ts';
import { Images } from '../../agent/images.ts';
import { createLog } from '../../agent/log.ts';

const [self = '', folder = ''] = process.argv.slice(2);
const log = createLog((line) => process.stderr.write(line), 'debug');
const images = new Images({ socketPath: '/var/run/docker.sock', log });

function connect(machine: string): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(join(folder, `${machine}.sock`));
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

const server = http.createServer((request, response) => {
  const [, machine = '', path = ''] =
    /^\/v1\/machines\/([^/]+)\/images(\/.*)$/.exec(request.url ?? '') ?? [];
  const served =
    machine === self
      ? images.handleImageRequest(request, response, path)
      : forwardRequest(request, response, () => connect(machine));
  served.catch((error: unknown) => {
    log.error('request failed', { error });
    const text = JSON.stringify({ code: 'E_MACHINE_UNREACHABLE', message: String(error) });
    response.writeHead(502).end(text);
  });
});
server.listen(join(folder, `${self}.sock`));
