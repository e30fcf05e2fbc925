/**
 * `machine ls --links`: the gossip links of every machine as its own agent sees them. A machine that
 * does not answer gets a line that says so, because that is what one looks for here.
 */
import type { MachineId } from '../model/ids.ts';
import type { GossipStatus } from '../model/links.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Cli } from './cli.ts';

/** What a machine's agent said, or why it said nothing. */
export type LinksAnswer =
  | { readonly machine: MachineId; readonly status: GossipStatus }
  | { readonly machine: MachineId; readonly problem: string };

/** Asks every machine, through the agent at hand. */
export async function askLinks(cli: Cli, snapshot: Snapshot): Promise<readonly LinksAnswer[]> {
  return await Promise.all(
    snapshot.machines.map(async ({ id, liveness }): Promise<LinksAnswer> => {
      if (id !== snapshot.self && liveness !== 'reachable') {
        return { machine: id, problem: liveness };
      }
      try {
        return { machine: id, status: await cli.client.links(id, cli.signal) };
      } catch (error) {
        // Shown in its line: the other machines' answers are wanted all the same.
        const why = error instanceof Error ? error.message : String(error);
        return { machine: id, problem: why };
      }
    }),
  );
}

/** One line of the table; `problem` stands alone. */
export interface LinkLine {
  readonly machine: string;
  readonly peer: string | null;
  readonly problem: string | null;
  readonly roundTripMs: number | null;
  readonly upForMs: number | null;
  readonly isEqual: boolean | null;
  readonly queuedBytes: number | null;
  readonly sentBytes: number | null;
  readonly receivedBytes: number | null;
  /** Links that the machine has, and how many it should have. */
  readonly linkCount: number | null;
  readonly wantedLinkCount: number | null;
}

/** @returns a line a link, and one for each machine that has none or does not answer */
export function linkObjects(
  snapshot: Snapshot,
  answers: readonly LinksAnswer[],
): readonly LinkLine[] {
  const nameOf = (id: MachineId): string =>
    snapshot.machines.find((machine) => machine.id === id)?.name ?? id;
  return answers.flatMap((answer): readonly LinkLine[] => {
    const machine = nameOf(answer.machine);
    if (!('status' in answer)) return [{ ...noLink, machine, problem: answer.problem }];
    const { links, wantedLinkCount } = answer.status;
    const counts = { linkCount: links.length, wantedLinkCount };
    if (links.length === 0) return [{ ...noLink, ...counts, machine, problem: 'no link' }];
    return links
      .map(({ peer, roundTripMs, upForMs, isEqual, queuedBytes, sentBytes, receivedBytes }) => ({
        machine,
        peer: nameOf(peer),
        problem: null,
        roundTripMs,
        upForMs,
        isEqual,
        queuedBytes,
        sentBytes,
        receivedBytes,
        ...counts,
      }))
      .sort((a, b) => (a.peer < b.peer ? -1 : 1));
  });
}

const noLink: Omit<LinkLine, 'machine'> = {
  peer: null,
  problem: null,
  roundTripMs: null,
  upForMs: null,
  isEqual: null,
  queuedBytes: null,
  sentBytes: null,
  receivedBytes: null,
  linkCount: null,
  wantedLinkCount: null,
};

export const linkHeads = ['MACHINE', 'PEER', 'RTT', 'UP', 'RECORDS', 'QUEUED', 'SENT', 'RECEIVED'];

/** @returns rows of the table */
export function linkRows(links: readonly LinkLine[]): readonly (readonly string[])[] {
  return links.map((link) => {
    if (link.problem !== null) return [link.machine, `(${link.problem})`, '', '', '', '', '', ''];
    return [
      link.machine,
      link.peer ?? '',
      link.roundTripMs === null ? '-' : `${link.roundTripMs.toFixed(1)}ms`,
      seconds(link.upForMs ?? 0),
      link.isEqual === true ? 'equal' : 'differ',
      bytes(link.queuedBytes ?? 0),
      bytes(link.sentBytes ?? 0),
      bytes(link.receivedBytes ?? 0),
    ];
  });
}

function seconds(ms: number): string {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60}s`;
  return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
}

function bytes(count: number): string {
  if (count < 1000) return `${count}B`;
  if (count < 1e6) return `${(count / 1000).toFixed(1)}kB`;
  return `${(count / 1e6).toFixed(1)}MB`;
}
