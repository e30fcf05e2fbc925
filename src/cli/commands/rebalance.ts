/** `rebalance`: makes the counts of replicas even again, a few at a time, and waits for it. */
import type { RebalanceMove } from '../../model/api.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { CommandModule } from '../cli.ts';
import { count, exitCode, say } from '../cli.ts';
import { machineName } from '../ps-rows.ts';
import { untilSnapshot } from '../until.ts';

export const define: CommandModule['define'] = (command, attach) => {
  command
    .argument('[project...]', 'names of projects; none: all')
    .option('--dry-run', 'only say what would move')
    .option('--no-wait', 'return when the moves are written down');
  attach(command, async (cli, given) => {
    const options = command.opts<{ dryRun?: boolean; wait: boolean }>();
    const { projectName } = cli.flags;
    const named = given.length === 0 && projectName !== undefined ? [projectName] : given;
    const isDryRun = options.dryRun === true;
    const { moves } = await cli.client.rebalance({ projects: named, isDryRun }, cli.signal);
    const { stdout, stderr } = cli.io;
    if (moves.length === 0) {
      say(stderr, 'The replicas are where they would be placed: nothing to move.');
      return exitCode.ok;
    }
    const first = await cli.client.snapshot(cli.signal);
    for (const move of moves) say(stdout, moveLine(move, first));
    if (isDryRun || !options.wait) return exitCode.ok;
    let open = moves;
    const { snapshot, isOver } = await untilSnapshot(cli, 0, (next) => {
      for (const move of open) if (hasLeft(next, move)) say(stderr, `${slotName(move)} has moved`);
      open = open.filter((move) => !hasLeft(next, move));
      return open.every((move) => hasBroken(next, move));
    });
    if (open.length === 0) return exitCode.ok;
    for (const move of open.filter((one) => hasBroken(snapshot, one))) {
      const to = machineName(snapshot, move.to);
      say(stderr, `${slotName(move)} stays where it is: it broke on ${to}`);
    }
    if (isOver) return exitCode.failed;
    say(
      stderr,
      `${count(open.length, 'replica')} still to move; this goes on without the command.`,
    );
    return exitCode.interrupted;
  });
};

function slotName({ project, service, slot }: RebalanceMove): string {
  return `${project}-${service}-${slot}`;
}

function moveLine(move: RebalanceMove, snapshot: Snapshot): string {
  const [from, to] = [move.from, move.to].map((machine) => machineName(snapshot, machine));
  return `${slotName(move)}  ${from} -> ${to}`;
}

function hasLeft({ containers }: Snapshot, move: RebalanceMove): boolean {
  return !containers.some(({ id, machine }) => id === move.container && machine === move.from);
}

function hasBroken({ failures }: Snapshot, move: RebalanceMove): boolean {
  return failures.some(
    (failure) =>
      failure.machine === move.to &&
      failure.project === move.project &&
      failure.service === move.service &&
      failure.slot === move.slot,
  );
}
