/** `volume`: where data is, and how it gets elsewhere. */
import { TscError } from '../../lib/errors.ts';
import type { VolumeAnswer, VolumeRequest } from '../../model/api.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { count, exitCode, say } from '../cli.ts';
import { formatSize } from '../push-lines.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';
import { type EngineVolume, volumeRows } from '../volume-rows.ts';

/** 10 s: an engine lists its volumes from memory; longer is one that hangs. */
const listMs = 10_000;

export const define: CommandModule['define'] = (command, attach) => {
  command.enablePositionalOptions();

  const ls = command
    .command('ls', { isDefault: true })
    .description('List the volumes of the cluster and the machines that have them')
    .option('-q, --quiet', 'only names')
    .option('--format <format>', 'table, or json: one array');
  attach(ls, async (cli) => {
    const options = ls.opts<{ quiet?: boolean; format?: string }>();
    const format = parseFormat(options.format);
    const snapshot = await cli.client.snapshot(cli.signal);
    const rows = volumeRows(snapshot, await engineVolumes(cli, snapshot));
    const { stdout } = cli.io;
    if (options.quiet) for (const name of new Set(rows.map((row) => row.name))) say(stdout, name);
    else if (format === 'json') say(stdout, JSON.stringify(rows));
    else {
      const table = rows.map(({ name, machine, project, services, driver, state }) => [
        name,
        machine,
        project,
        services.join(', '),
        driver,
        state,
      ]);
      const heads = ['VOLUME NAME', 'MACHINE', 'PROJECT', 'SERVICES', 'DRIVER', 'STATE'];
      for (const line of formatTable(heads, table)) say(stdout, line);
    }
    return exitCode.ok;
  });

  const mv = command
    .command('mv')
    .description('Move a volume, with its data and the services that use it, to another machine')
    .argument('<volume>', 'name as `volume ls` shows it, or its key in the Compose file')
    .argument('<machine>', 'where it is to go');
  attach(mv, async (cli, [volume = '', machine = '']) => {
    say(cli.io.stderr, `stopping what uses ${volume}, and copying it to ${machine}…`);
    const answer = await cli.client.moveVolume(volume, requestOf(cli, machine), cli.signal);
    sayMoved(cli, answer);
    say(cli.io.stderr, `${formatSize(answer.sizeBytes)} copied and compared.`);
    return exitCode.ok;
  });

  const abandon = command
    .command('abandon')
    .description('Go on with an empty volume elsewhere, because its machine does not come back')
    .argument('<volume>', 'name as `volume ls` shows it, or its key in the Compose file')
    .argument('[machine]', 'where to go on; default: the best that fits')
    .option('-y, --yes', 'do it, and do not ask for this flag');
  attach(abandon, async (cli, [volume = '', machine]) => {
    if (abandon.opts<{ yes?: boolean }>().yes !== true) {
      throw new TscError('E_VOLUME_CONFIRM', `this gives the data of ${volume} up`, {
        hint: 'say --yes when its machine does not come back',
      });
    }
    sayMoved(cli, await cli.client.abandonVolume(volume, requestOf(cli, machine), cli.signal));
    return exitCode.ok;
  });
};

function requestOf(cli: Cli, machine: string | undefined): VolumeRequest {
  const user = cli.io.env.SUDO_USER || cli.io.env.USER || undefined;
  return {
    ...(machine === undefined ? {} : { machine }),
    ...(user === undefined ? {} : { user }),
  };
}

function sayMoved(cli: Cli, { volumes, services, from, to, notes }: VolumeAnswer): void {
  const { stderr } = cli.io;
  const users = services.length === 0 ? '' : `, with ${services.join(', ')}`;
  say(
    stderr,
    `${count(volumes.length, 'volume')} from ${from} to ${to}${users}: ${volumes.join(', ')}.`,
  );
  for (const note of notes) say(stderr, `note: ${note}`);
}

/** What the engines have; a machine that does not answer is left out and said. */
async function engineVolumes(cli: Cli, snapshot: Snapshot): Promise<readonly EngineVolume[]> {
  const found = await Promise.all(
    snapshot.machines.map(async ({ id, name, liveness }) => {
      if (liveness !== 'reachable') return [];
      try {
        const docker = await cli.client.docker(id);
        const abortSignal = AbortSignal.timeout(listMs);
        const { Volumes } = await docker.listVolumes({ abortSignal });
        return (Volumes ?? []).map((volume) => ({
          machine: id,
          name: volume.Name,
          driver: volume.Driver,
          labels: { ...volume.Labels },
        }));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        say(cli.io.stderr, `note: ${name}: its volumes could not be listed: ${why.trim()}`);
        return [];
      }
    }),
  );
  return found.flat();
}
