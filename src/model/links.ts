/** The gossip of one machine as seen from outside: what `machine ls --links` and `/metrics` show. */
import type { MachineId } from './ids.ts';
import type { Guard, Liveness } from './view.ts';

export interface LinkStatus {
  readonly peer: MachineId;
  /** Whether this end dialled. */
  readonly isDialler: boolean;
  readonly upForMs: number;
  /** Of the last question to the peer's agent; null before the first answer. */
  readonly roundTripMs: number | null;
  /** Whether the peer had the same records at its last heartbeat. */
  readonly isEqual: boolean;
  /** Handed to the kernel's connection and not sent yet. */
  readonly queuedBytes: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentFrames: number;
  readonly receivedFrames: number;
}

export interface GossipStatus {
  readonly self: MachineId;
  readonly recordCount: number;
  /** Links that there should be; extra ones may be up beside them. */
  readonly wantedLinkCount: number;
  readonly links: readonly LinkStatus[];
  readonly liveness: Readonly<Record<MachineId, Liveness>>;
  readonly guards: readonly Guard[];
  /** Over all links since the agent started, those that are gone included. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly lostLinkCount: number;
  /** Records that are not on disk yet. */
  readonly undurableCount: number;
  readonly isDiskFine: boolean;
}
