/** `machine`: forms the cluster, one machine at a time, lists its members, and sets their options. */
import type { Snapshot } from '../../model/snapshot.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { collect, exitCode, say } from '../cli.ts';
import { askLinks, linkHeads, linkObjects, linkRows } from '../machine-links.ts';
import { defineMachineOptions } from '../machine-options.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

export const define: CommandModule['define'] = (command, attach) => {
  command.enablePositionalOptions();
  const endpointHelp = 'host:port where others reach WireGuard of this machine; may be repeated';

  const init = command
    .command('init')
    .description('Make this machine the first of a new cluster')
    .option('--range <cidr>', 'addresses of the containers of all machines')
    .option('--endpoint <host:port>', endpointHelp, collect);
  attach(init, async (cli) => {
    const options = init.opts<{ range?: string; endpoint?: readonly string[] }>();
    const { range } = options;
    const info = await cli.client.init(
      { endpoints: options.endpoint ?? [], ...(range === undefined ? {} : { range }) },
      cli.signal,
    );
    say(
      cli.io.stderr,
      `This machine, ${info.machineName}, is the first of cluster ${info.cluster}.`,
    );
    say(cli.io.stderr, 'To add another one, run `tsc-compose machine token` here.');
    return exitCode.ok;
  });

  const token = command
    .command('token')
    .description('Print a token with which one further machine may join, within the hour');
  attach(token, async (cli) => {
    const answer = await cli.client.token(cli.signal);
    say(cli.io.stdout, answer.token);
    const until = new Date(answer.expiresMs).toISOString();
    say(cli.io.stderr, 'Run this on the machine that is to join:');
    say(cli.io.stderr, '  tsc-compose machine join TOKEN');
    say(cli.io.stderr, `The token is good for one machine until ${until}; keep it secret.`);
    return exitCode.ok;
  });

  const join = command
    .command('join')
    .description('Join the cluster that the token is from')
    .argument('<token>', 'printed by `machine token` on a member; - reads it from stdin')
    .option('--endpoint <host:port>', endpointHelp, collect);
  attach(join, async (cli, [given = '']) => {
    const options = join.opts<{ endpoint?: readonly string[] }>();
    const info = await cli.client.join(
      {
        token: given === '-' ? await readAll(cli) : given.trim(),
        endpoints: options.endpoint ?? [],
      },
      cli.signal,
    );
    say(cli.io.stderr, `This machine, ${info.machineName}, joined cluster ${info.cluster}.`);
    return exitCode.ok;
  });

  const ls = command
    .command('ls')
    .description('List the machines of the cluster')
    .option('-q, --quiet', 'only names')
    .option('--links', 'the gossip links of every machine: round-trip times, queues, traffic')
    .option('--format <format>', 'table, or json: one array');
  attach(ls, async (cli) => {
    const options = ls.opts<{ quiet?: boolean; links?: boolean; format?: string }>();
    const format = parseFormat(options.format);
    const snapshot = await cli.client.snapshot(cli.signal);
    const { stdout } = cli.io;
    if (options.links) {
      const links = linkObjects(snapshot, await askLinks(cli, snapshot));
      if (format === 'json') say(stdout, JSON.stringify(links));
      else for (const line of formatTable(linkHeads, linkRows(links))) say(stdout, line);
      return exitCode.ok;
    }
    if (options.quiet) for (const { name } of snapshot.machines) say(stdout, name);
    else if (format === 'json') say(stdout, JSON.stringify(machineObjects(snapshot)));
    else for (const line of formatTable(machineHeads, machineRows(snapshot))) say(stdout, line);
    return exitCode.ok;
  });
  defineMachineOptions(command, attach);
};

const machineHeads = [
  'NAME',
  'STATE',
  'CONTAINERS',
  'SUBNET',
  'PLATFORM',
  'CPUS',
  'MEMORY',
  'WEIGHT',
  'ENGINE',
  'ENDPOINTS',
  'LABELS',
];

/** @returns rows of `machine ls`; the machine that answered carries a star */
export function machineRows(snapshot: Snapshot): readonly (readonly string[])[] {
  return machineObjects(snapshot).map((machine) => [
    machine.isSelf ? `${machine.name} *` : machine.name,
    machine.state,
    `${machine.containerCount}`,
    machine.subnet,
    machine.platform,
    `${machine.cpuCount}`,
    `${(machine.memoryBytes / 1024 ** 3).toFixed(1)}GiB`,
    `${machine.weight}`,
    machine.engine,
    machine.endpoints.join(', '),
    Object.entries(machine.labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(', '),
  ]);
}

/** @returns objects of `machine ls --format json` */
export function machineObjects(snapshot: Snapshot) {
  return snapshot.machines.map((machine) => ({
    id: machine.id,
    name: machine.name,
    isSelf: machine.id === snapshot.self,
    state: [
      machine.liveness,
      ...(machine.isAble ? [] : ['not able']),
      ...(machine.isDrained ? ['drained'] : []),
    ].join(', '),
    containerCount: snapshot.containers.filter(
      (container) => container.machine === machine.id && container.state === 'running',
    ).length,
    subnet: machine.subnet,
    gatewayIp: machine.gatewayIp,
    meshIp: machine.meshIp,
    platform: machine.platform,
    cpuCount: machine.cpuCount,
    memoryBytes: machine.memoryBytes,
    engine: machine.versions.engine,
    agent: machine.versions.agent,
    endpoints: machine.endpoints,
    labels: machine.labels,
    engineLabels: machine.engineLabels,
    weight: machine.weight,
    resources: machine.resources,
  }));
}

async function readAll(cli: Cli): Promise<string> {
  let text = '';
  for await (const chunk of cli.io.stdin) text += String(chunk);
  return text.trim();
}
