/**
 * `push`: brings images of the Docker engine here to the machines of the cluster, without a
 * registry; each machine gets only the layers it lacks. Prints what was sent where.
 */

import type { PushEvent } from '../../client/push.ts';
import { knownBlobsPath } from '../../client/push-known.ts';
import { formatError, TscError } from '../../lib/errors.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { count, exitCode, say } from '../cli.ts';
import { formatSize, PushProgress, pushHeads, pushObject, pushRow } from '../push-lines.ts';
import { formatTable } from '../table.ts';
import { parseFormat } from '../values.ts';

interface PushFlags {
  readonly machine?: readonly string[];
  readonly quiet?: boolean;
  readonly format?: string;
}

/** 100 ms: as often as an eye follows, without slowing a fast push. */
const progressPauseMs = 100;

export const define: CommandModule['define'] = (command, attach) => {
  command
    .argument('<image...>', 'names of images of the Docker engine here')
    .option('--machine <name...>', 'machines that are to get them; default: all that are reachable')
    .option('-q, --quiet', 'print nothing but errors')
    .option('--format <format>', 'table, or json: one array');
  attach(command, (cli, images) => push(cli, images, command.opts<PushFlags>()));
};

async function push(cli: Cli, images: readonly string[], flags: PushFlags): Promise<number> {
  const { stdout, stderr } = cli.io;
  const format = parseFormat(flags.format);
  const isQuiet = flags.quiet ?? false;
  const machines = targetsOf(await cli.client.snapshot(cli.signal), flags.machine, (note) => {
    if (!isQuiet) say(stderr, note);
  });
  const { pushImages } = await import('../../client/push.ts');
  const show = isQuiet ? undefined : progressWriter(cli);
  const results = await pushImages(
    images.map((reference) => ({ reference, machines })),
    {
      socketPath: cli.client.socketPath,
      knownPath: knownBlobsPath(cli.io.env),
      signal: cli.signal,
      ...(show === undefined ? {} : { onEvent: show.onEvent }),
    },
  ).finally(() => show?.end());
  for (const { reference, machine, error } of results) {
    if (error !== undefined) say(stderr, `${reference} on ${machine}: ${formatError(error)}`);
  }
  if (format === 'json') say(stdout, JSON.stringify(results.map(pushObject)));
  else if (!isQuiet) {
    for (const line of formatTable(pushHeads, results.map(pushRow))) say(stdout, line);
  }
  return results.some(({ error }) => error !== undefined) ? exitCode.failed : exitCode.ok;
}

/**
 * The machines to push to, by name.
 * @throws TscError E_MACHINE_UNKNOWN, E_MACHINE_UNREACHABLE
 */
export function targetsOf(
  { machines }: Pick<Snapshot, 'machines'>,
  wanted: readonly string[] | undefined,
  note: (text: string) => void,
): readonly string[] {
  if (wanted === undefined || wanted.length === 0) {
    const away = machines.filter(({ liveness }) => liveness !== 'reachable');
    if (away.length > 0) {
      const names = away.map(({ name }) => name).join(', ');
      note(`Not reachable now, so without the image: ${names}. Push again when they are back.`);
    }
    const near = machines.filter(({ liveness }) => liveness === 'reachable');
    return near.map(({ name }) => name).sort();
  }
  const found = wanted.map((text) => {
    const machine = machines.find(({ id, name }) => name === text || id === text);
    if (machine === undefined) {
      throw new TscError('E_MACHINE_UNKNOWN', `no machine of this cluster is called "${text}"`, {
        hint: 'list them with `tsc-compose machine ls`; images come before --machine',
      });
    }
    if (machine.liveness !== 'reachable') {
      throw new TscError('E_MACHINE_UNREACHABLE', `machine ${machine.name} is not reachable now`);
    }
    return machine.name;
  });
  return [...new Set(found)];
}

/** Says on stderr what is sent; on a terminal one line more counts the bytes. */
function progressWriter(cli: Cli): {
  readonly onEvent: (event: PushEvent) => void;
  readonly end: () => void;
} {
  const { stderr, now } = cli.io;
  const isLive = stderr.isTTY === true;
  const progress = new PushProgress();
  let shownAtMs = 0;
  const clear = (): void => {
    if (isLive && shownAtMs > 0) stderr.write('\r\u001b[K');
    shownAtMs = 0;
  };
  return {
    onEvent: (event) => {
      if (event.type === 'sent') {
        const key = `${event.reference} ${event.machine}`;
        progress.sent(key, event.sentBytes);
        if (!isLive || now() - shownAtMs < progressPauseMs) return;
        shownAtMs = now();
        stderr.write(`\r\u001b[K${progress.line()}`);
        return;
      }
      clear();
      if (event.type === 'note') say(stderr, `note: ${event.reference}: ${event.text}`);
      if (event.type === 'sending') {
        const { reference, machine, layerCount, blobBytes } = event;
        progress.add(`${reference} ${machine}`, blobBytes);
        const what = `${count(layerCount, 'layer')}, ${formatSize(blobBytes)}`;
        say(stderr, `${reference}: sending ${what} to ${machine}`);
      }
    },
    end: clear,
  };
}
