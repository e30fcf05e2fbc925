/**
 * What the agent measures of itself, in Prometheus' text format. Pure: it only writes down what
 * it is given. Machines are named by their ids, which never change, with their names beside them.
 */
import type { MachineId } from '../src/model/ids.ts';
import type { GossipStatus, LinkStatus } from '../src/model/links.ts';

export interface MetricsInput {
  readonly version: string;
  /** null while this machine belongs to no cluster. */
  readonly gossip: GossipStatus | null;
  readonly nameOf: (machine: MachineId) => string;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** Prometheus' name for the format (version 0.0.4). */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** @returns the whole answer to `GET /metrics` */
export function formatMetrics(input: MetricsInput): string {
  const { version, gossip, nameOf, residentBytes, cpuSeconds } = input;
  const lines: string[] = [];
  const metric = (
    name: string,
    type: 'gauge' | 'counter',
    help: string,
    samples: readonly (readonly [Readonly<Record<string, string>>, number])[],
  ): void => {
    lines.push(`# HELP tsc_compose_${name} ${help}`, `# TYPE tsc_compose_${name} ${type}`);
    for (const [labels, value] of samples) {
      const text = Object.entries(labels).map(([key, one]) => `${key}="${escapeLabel(one)}"`);
      const set = text.length === 0 ? '' : `{${text.join(',')}}`;
      lines.push(`tsc_compose_${name}${set} ${value}`);
    }
  };
  const one = (value: number) => [[{}, value]] as const;
  metric('build_info', 'gauge', 'Version of the agent.', [[{ version }, 1]]);
  metric('resident_bytes', 'gauge', 'Resident memory of the agent.', one(residentBytes));
  metric('cpu_seconds_total', 'counter', 'Processor time of the agent.', one(cpuSeconds));
  if (gossip === null) return `${lines.join('\n')}\n`;
  const { links } = gossip;
  metric('records', 'gauge', 'Records in the replicated map.', one(gossip.recordCount));
  metric('links_wanted', 'gauge', 'Links that there should be.', one(gossip.wantedLinkCount));
  metric('links', 'gauge', 'Links that are up.', one(links.length));
  metric('links_equal', 'gauge', 'Links whose other end has the same records.', [
    [{}, links.filter(({ isEqual }) => isEqual).length],
  ]);
  metric('links_lost_total', 'counter', 'Links that were lost.', one(gossip.lostLinkCount));
  metric('gossip_sent_bytes_total', 'counter', 'Frames sent.', one(gossip.sentBytes));
  metric('gossip_received_bytes_total', 'counter', 'Frames received.', one(gossip.receivedBytes));
  metric(
    'records_undurable',
    'gauge',
    'Records that are not on disk yet.',
    one(gossip.undurableCount),
  );
  metric('disk_ok', 'gauge', '1 while the disk takes records.', one(gossip.isDiskFine ? 1 : 0));
  const perLink = (pick: (link: LinkStatus) => number | null) =>
    links.flatMap((link) => {
      const value = pick(link);
      const labels = { peer: link.peer, name: nameOf(link.peer) };
      return value === null ? [] : [[labels, value] as const];
    });
  metric(
    'link_round_trip_seconds',
    'gauge',
    "Time until the peer's agent answers.",
    perLink(({ roundTripMs }) => roundTripMs && roundTripMs / 1000),
  );
  metric(
    'link_up_seconds',
    'gauge',
    'How long the link has been up.',
    perLink(({ upForMs }) => upForMs / 1000),
  );
  metric(
    'link_equal',
    'gauge',
    '1 when the peer has the same records.',
    perLink(({ isEqual }) => (isEqual ? 1 : 0)),
  );
  metric(
    'link_queued_bytes',
    'gauge',
    'Bytes that wait in the connection.',
    perLink(({ queuedBytes }) => queuedBytes),
  );
  metric(
    'link_sent_bytes_total',
    'counter',
    'Frames sent over the link.',
    perLink(({ sentBytes }) => sentBytes),
  );
  metric(
    'link_received_bytes_total',
    'counter',
    'Frames received over the link.',
    perLink(({ receivedBytes }) => receivedBytes),
  );
  metric(
    'machine_liveness',
    'gauge',
    '1 for what the machine counts as.',
    Object.entries(gossip.liveness).map(
      ([machine, liveness]) =>
        // Keys of this object are machine ids.
        [{ machine, name: nameOf(machine as MachineId), liveness }, 1] as const,
    ),
  );
  metric(
    'guard',
    'gauge',
    '1 while the agent neither re-places nor removes, by why.',
    gossip.guards.map((guard) => [{ guard }, 1] as const),
  );
  return `${lines.join('\n')}\n`;
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
