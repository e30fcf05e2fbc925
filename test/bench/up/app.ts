/** What is started by every contender: three services of three replicas, with the same checks. */

export const imageName = 'bench-web:1';
export const serviceNames = ['a', 'b', 'c'] as const;
export const replicaCount = 3;
export const containerCount = serviceNames.length * replicaCount;

/** Answers at once, and ends at once when told to: process 1 gets no default signal handling. */
export const serverSource =
  "require('node:http').createServer((q, r) => r.end('ok')).listen(80);\n" +
  "process.on('SIGTERM', () => process.exit(0));\n";

const check = {
  test: ['CMD', 'wget', '-qO/dev/null', 'http://127.0.0.1/'],
  interval: '1s',
  timeout: '2s',
  retries: 3,
};

const service = {
  image: imageName,
  command: ['node', '/app/server.js'],
  healthcheck: check,
};

/** The Compose file for `tsc-compose up`. */
export const composeFile = JSON.stringify({
  services: Object.fromEntries(
    serviceNames.map((name) => [name, { ...service, deploy: { replicas: replicaCount } }]),
  ),
});

/** The same as a stack: every replica with an address of its own, as in the file above. */
export const stackFile = JSON.stringify({
  version: '3.8',
  services: Object.fromEntries(
    serviceNames.map((name) => [
      name,
      {
        ...service,
        networks: ['n'],
        deploy: {
          replicas: replicaCount,
          endpoint_mode: 'dnsrr',
          restart_policy: { condition: 'any', delay: '0s' },
        },
      },
    ]),
  ),
  networks: { n: { driver: 'overlay', attachable: true } },
});

/** Words of `docker run -d` for one container. */
export const runWords: readonly string[] = [
  'docker run -d --label bench=floor',
  `--health-cmd '${check.test.slice(1).join(' ')}'`,
  `--health-interval ${check.interval} --health-timeout ${check.timeout}`,
  `--health-retries ${check.retries}`,
  `${imageName} ${service.command.join(' ')}`,
];
