/**
 * A rollout where there is no terminal: one line a change on stderr, and after some time of
 * silence what is being waited for.
 */
import type { Snapshot } from '../model/snapshot.ts';
import type { RolloutStatus } from '../plan/rollout-status.ts';
import type { Cli } from './cli.ts';
import { say } from './cli.ts';
import type { Colour } from './colour.ts';
import { painter } from './colour.ts';
import type { FollowedRollout, RolloutView } from './follow.ts';
import type { RolloutLine } from './rollout-lines.ts';
import { formatRolloutLine, rolloutLines } from './rollout-lines.ts';

/** 10 s: a log that says nothing for longer looks as if it hung. */
const silenceMs = 10_000;

const colourOf: Readonly<Record<RolloutLine['tone'], Colour | undefined>> = {
  good: 'green',
  bad: 'red',
  plain: undefined,
};

export function lineView(cli: Cli, { project, before }: FollowedRollout): RolloutView {
  const { stderr, now } = cli.io;
  const paint = painter(cli, stderr);
  let last: Snapshot = before;
  let spokeAtMs = now();
  return {
    update(snapshot: Snapshot, status: RolloutStatus) {
      for (const line of rolloutLines(last, snapshot, project)) {
        const colour = colourOf[line.tone];
        const text = formatRolloutLine(line);
        say(stderr, colour === undefined ? text : paint(colour, text));
        spokeAtMs = now();
      }
      last = snapshot;
      if (now() - spokeAtMs < silenceMs) return;
      spokeAtMs = now();
      for (const { service, state, ready, wanted, why } of status.lines) {
        if (state === 'progressing') say(stderr, `${service}: ${ready} of ${wanted} ready; ${why}`);
      }
    },
    note: (text) => say(stderr, text),
    end: () => undefined,
  };
}
