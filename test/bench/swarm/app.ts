/**
 * What runs during the comparison with Swarm: one image with a web server that ends as a good one
 * does and a client that counts, and the same definition once as a Compose file and once as a stack.
 */

export const imageName = 'bench-swarm:1';
/** The host by which requests find the service through Caddy. */
export const host = 'bench.example.com';
/** The label by which events tell the replicas of one definition from those of the next. */
export const versionLabel = 'bench.version';
export const serviceLabel = 'bench.service';

/**
 * A web server. After SIGTERM it answers on for a second, asking its callers to connect anew, as
 * servers do that are made to be replaced; a caller with an open connection loses no request.
 */
export const serverSource = `
let isEnding = false;
const server = require('node:http').createServer((request, response) => {
  if (isEnding) response.setHeader('connection', 'close');
  response.end(process.env.VERSION || 'ok');
});
server.keepAliveTimeout = 60000;
server.listen(80);
process.on('SIGTERM', () => {
  isEnding = true;
  setTimeout(() => process.exit(0), 1000);
});
`;

/**
 * A client: `node client.js JSON` with {name | targets, host, freshPerS, keptPerS, timeoutMs,
 * durationMs}. Fresh requests look the name up and try one address of the answer; kept ones reuse
 * connections. One line of JSON for each request, as it ends.
 */
export const clientSource = `
const http = require('node:http');
const { Resolver } = require('node:dns').promises;
const given = JSON.parse(process.argv.at(-1));
const resolver = new Resolver({ timeout: 1000, tries: 2 });
const one = (list) => list[Math.floor(Math.random() * list.length)];
const agent = new http.Agent({ keepAlive: true, maxSockets: 10, timeout: 60000 });
const address = async () => one(given.targets ?? (await resolver.resolve4(given.name)));
let underWay = 0;
// Time in which this process did not run is nobody's delay: it is counted in ticks.
const tickMs = 100;
let ticks = 0;
const waiting = new Map();
setInterval(() => {
  ticks += 1;
  for (const [call, until] of waiting) if (ticks > until) call.destroy(new Error('time-out'));
}, tickMs);
const ask = (kind) => {
  const startMs = Date.now();
  underWay += 1;
  let isOver = false;
  const end = (problem, where) => {
    if (isOver) return;
    isOver = true;
    underWay -= 1;
    console.log(JSON.stringify({ kind, startMs, endMs: Date.now(), problem, where }));
  };
  address().then((where) => {
    const send = (isAgain) => {
      const call = http.get({
        host: where, port: 80, path: '/', headers: { host: given.host },
        agent: kind === 'kept' ? agent : false,
      }, (response) => {
        response.resume();
        response.on('end', () => end(response.statusCode === 200 ? undefined : 'status ' + response.statusCode, where));
        response.on('error', (error) => end(error.message, where));
      });
      waiting.set(call, ticks + given.timeoutMs / tickMs);
      call.on('close', () => waiting.delete(call));
      call.on('error', (error) => {
        // What every HTTP client does: a kept connection may be closed at the moment of its use.
        if (call.reusedSocket && error.code === 'ECONNRESET' && !isAgain) send(true);
        else end(error.message, where);
      });
    };
    send(false);
  }, (error) => end('look-up: ' + error.message));
};
const every = (perS, kind) => {
  if (!perS) return;
  const beganMs = Date.now();
  let sent = 0;
  const timer = setInterval(() => {
    const passedMs = Date.now() - beganMs;
    if (passedMs > given.durationMs) return clearInterval(timer);
    for (; sent < (passedMs * perS) / 1000; sent++) ask(kind);
  }, 5);
};
every(given.freshPerS, 'fresh');
every(given.keptPerS, 'kept');
setInterval(() => {
  if (underWay === 0 && Date.now() > started + given.durationMs + 100) process.exit(0);
}, 20);
const started = Date.now();
`;

const healthcheck = {
  test: ['CMD', 'wget', '-qO/dev/null', 'http://127.0.0.1/'],
  interval: '1s',
  timeout: '2s',
  retries: 3,
};

/** What is deployed: how many services of how many replicas, and which definition of them. */
export interface App {
  readonly services: readonly string[];
  readonly replicaCount: number;
  readonly version: number;
  /** The machine of the client. */
  readonly clientMachine: string;
}

const server = (app: App, name: string) => ({
  image: imageName,
  command: ['node', '/app/server.js'],
  environment: { VERSION: `${app.version}` },
  labels: { [versionLabel]: `${app.version}`, [serviceLabel]: name },
  healthcheck,
});
const client = { image: imageName, command: ['sleep', '100000'], init: true };
const order = { parallelism: 1, order: 'start-first' } as const;

/** The Compose file for `tsc-compose up`. */
export function composeFile(app: App): string {
  return JSON.stringify({
    services: {
      client: { ...client, 'x-machines': [app.clientMachine] },
      ...Object.fromEntries(
        app.services.map((name, index) => [
          name,
          {
            ...server(app, name),
            ...(index === 0 ? { 'x-ports': [`${host}:80/http`] } : {}),
            deploy: { replicas: app.replicaCount, update_config: order },
          },
        ]),
      ),
    },
  });
}

/** The same as a stack: every replica with an address of its own, as in the file above. */
export function stackFile(app: App): string {
  const common = {
    endpoint_mode: 'dnsrr',
    update_config: order,
    restart_policy: { condition: 'any', delay: '0s' },
  };
  const networks = ['n'];
  return JSON.stringify({
    version: '3.8',
    services: {
      client: {
        ...client,
        networks,
        deploy: { placement: { constraints: [`node.hostname == ${app.clientMachine}`] } },
      },
      ...Object.fromEntries(
        app.services.map((name) => [
          name,
          {
            ...server(app, name),
            networks,
            deploy: { ...common, replicas: app.replicaCount },
          },
        ]),
      ),
    },
    networks: { n: { driver: 'overlay', attachable: true } },
  });
}

/** Words of `docker run -d` for one replica. */
export const runWords: readonly string[] = [
  `docker run -d --label bench=floor --label ${serviceLabel}=web`,
  `--health-cmd '${healthcheck.test.slice(1).join(' ')}'`,
  `--health-interval ${healthcheck.interval} --health-timeout ${healthcheck.timeout}`,
  `--health-retries ${healthcheck.retries}`,
  `${imageName} node /app/server.js`,
];
