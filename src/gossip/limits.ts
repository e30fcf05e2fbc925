/**
 * Every bound of the gossip protocol, with its unit and its reason. Measured values come from the
 * protocol's simulation and from a run against serf on one machine (docs/decisions.md).
 */

/** Protocol version spoken in HELLO; raised only when older agents could not follow. */
export const protocolVersion = 1;

// Frames

/** 1 MiB: bounds what a peer can make us hold; WebSocket's `maxPayload` is the same number. */
export const maxFrameBytes = 1 << 20;
/** 128 KiB: a batch of records that is verified in well under the stall limit. */
export const recordsFrameBytes = 128 << 10;
/** 768 KiB: the largest body that fits a frame beside its envelope. */
export const maxBodyBytes = 768 << 10;
/** 512 characters: the longest key is `seal/` with two names, a version and an id. */
export const maxKeyLength = 512;
/** 8 levels: our deepest message has 4; bounds the recursion of the decoder. */
export const maxFrameDepth = 8;
/** 20 000: with the smallest entries a frame cannot hold many more. */
export const maxEntriesPerFrame = 20_000;

// Records

/** 20 000 records per origin: a machine with 1000 containers stays far below. */
export const maxOriginRecordCount = 20_000;
/** 32 MiB per origin: one faulty machine cannot fill the memory of all others. */
export const maxOriginBytes = 32 << 20;
/** 400 days ahead: such a clock is broken; the record would win for more than a year. */
export const maxAheadMs = 400 * 24 * 60 * 60 * 1000;
/** 60 s: clocks further ahead than this are stored but do not pull ours along. */
export const maxClockPullMs = 60_000;
/** 1 h: containers come and go; after this time only the owner's correction is needed. */
export const tombstoneLifeMs = 60 * 60 * 1000;
/** 60 s between searches for tombstones that are over. */
export const tombstoneSweepMs = 60_000;
/** 2000 records whose origin is not known yet; repair brings back what does not fit. */
export const maxParkedCount = 2000;

// Links

/** 1 s, +-10 %: with the time-out below, two may be late and the third still in time. */
export const heartbeatMs = 1000;
export const heartbeatJitter = 0.1;
/**
 * 1.95 s, +-3 %, on links that give no reason for more: 300 B/s for a machine with four links, and
 * 0.5 s are left before the time-out, enough for two retransmissions (200 + 200 ms).
 */
export const steadyHeartbeatMs = 1950;
export const steadyHeartbeatJitter = 0.03;
/** 30 s in time and equal: a link counts as steady. */
export const steadyAfterMs = 30_000;
/** 150 ms: less than TCP's shortest wait for a lost packet, more than a busy event loop needs. */
export const lateHeartbeatMs = 150;
/** 0.5 s: a heartbeat is answered by ours unless ours left a shorter time ago than this. */
export const heartbeatAnswerMs = 500;
/** 2.5 s: absorbs three retransmissions of TCP (200 + 400 + 800 ms) on a lossy line. */
export const linkTimeoutMs = 2500;
/** Time-out of a link that flaps, as a multiple at most. */
export const maxTimeoutFactor = 4;
/** 1 s: redialled within it, a lost link is never announced. */
export const confirmMs = 1000;
/** 4 s for links that were lost in the last minute: announcements are dearer than patience. */
export const confirmFlappingMs = 4000;
/** 60 s without loss: a link counts as steady again. */
export const flapMemoryMs = 60_000;
/** 50 ms: a crashed agent is known to all within a tenth of a second. */
export const confirmRedialMs = 50;
/** 1 s to 2 s: a returning machine is found in this time by those that look for it. */
export const redialMs = 1000;
export const maxRedialMs = 2000;
/**
 * 0.5 s: the better one of two links is up by then; a clone of us that takes it away waits too. So does
 * who was let in and sent away: each handshake costs both ends some milliseconds of CPU.
 */
export const refusedRedialMs = 500;
/** 100 ms: no network breaks a link that soon again and again; a peer that has banned us does. */
export const stillbornMs = 100;
/** 6 in a row, or in a minute: two links at once come from two dials, not six. */
export const maxRivalCount = 6;
/** 12 s: a link that has ended at one end is given up by the other within five, on a bad line too. */
export const rivalSilenceMs = 12_000;
/**
 * 15 s: a link that is so old gives way to a new one. More than the time after which a machine that
 * is refused takes itself for one of two (`rivalSilenceMs`) and its next dial: two clones that took
 * turns sooner would never find out.
 */
export const oldLinkMs = 15_000;
export const rivalMemoryMs = 60_000;
/** 5 s: a link that lives for so long is the only one. */
export const soleLinkMs = 5000;
/** 5 s: a peer that refuses us says no again; something must change first. */
export const rejectedRedialMs = 5000;
/** 10 s without links to a peer that sent nonsense. */
export const hostileBanMs = 10_000;
/** 2 s * 2^losses, 60 s at most: how long a flapping link waits before it is announced as up. */
export const holdDownMs = 2000;
export const maxHoldDownMs = 60_000;
/** 60 s: an extra link (repair dial) that is no longer needed is closed. */
export const extraLinkMs = 60_000;
/** 256 KiB in the socket: further records wait in the outbox, where newer ones replace older. */
export const maxBufferedBytes = 256 << 10;
/** 20 ms until a full socket is looked at again. */
export const outboxRetryMs = 20;
/** 5 s with a full socket: the peer is too slow; it is cut and repaired later. */
export const slowConsumerMs = 5000;
/** 1 MiB in the socket: cut at once, whatever is sent. */
export const maxSocketBytes = 1 << 20;

// Overlay

/** Up to 9 machines everybody is linked with everybody: 8 links, as with four rings. */
export const fullMeshCount = 9;
/** 4 rings: after sudden loss of 30 % of 1000 machines nobody is cut off (simulated). */
export const ringCount = 4;
/** 5 rings above 1000 machines. */
export const largeRingCount = 5;
export const largeClusterCount = 1000;
/** Twice a second, two members at random, while half of the links are missing. */
export const repairDialMs = 500;
export const repairDialCount = 2;

// Announcements of links

/**
 * Changes within 5 ms become one announcement; 0.1 ms more for every member, up to 100 ms: each is
 * flooded to all, and when a large cluster starts all machines link with all neighbours at once.
 */
export const announceDelayMs = 5;
export const announceDelayPerMemberMs = 0.1;
export const maxAnnounceDelayMs = 100;
/** Bucket of 4 announcements, refilled one per max(2 s, members/50 s). */
export const announceBurst = 4;
export const announceRefillMs = 2000;
export const announcePerMemberMs = 20;

// Liveness

/** 7 s after the last frame: twice the time to notice, so a reboot of a switch is sat out. */
export const lostAfterMs = 7000;
/** 30 s for a machine that was never heard since this agent started: it may be booting too. */
export const lostAfterBootMs = 30_000;
/** 2 min: an agent that is gone for longer than a restart or an upgrade. */
export const headlessLostMs = 120_000;
/** 5 s: a redial and its time-out; then the neighbours know whether the kernel still answers. */
export const believeRestartMs = 5000;
/** 10 min at most: how long a machine that said good-bye is waited for. */
export const maxExpectBackMs = 600_000;

// Guards

/** 250 ms: the timer that notices that this process did not run. */
export const tickMs = 250;
/** 500 ms late: the lag is added to every link's timer, because nothing could be heard. */
export const stallMs = 500;
/** 2.5 s of lag: peers have given this machine up, so what it knows is old. */
export const staleAfterMs = 2500;
/** 5 s at most until a stale view is believed again. */
export const maxStaleMs = 5000;
/** 2 s between wall and monotonic clock: the machine slept or its clock was set. */
export const clockJumpMs = 2000;
/** 10 s alone, then a machine that just booted trusts what it has. */
export const bootAloneMs = 10_000;
/** 30 s with links but never equal: a busy cluster must not keep an agent from acting. */
export const maxBootMs = 30_000;
/**
 * 4 corrections of one key in a minute: an earlier life can have left one version a partition, a
 * second live holder of our key answers every one of ours.
 */
export const maxCorrectionCount = 4;
export const maxCorrectionMs = 60_000;
/** 10 s: records of ours that peers bring are taken as our memory; later they are corrected. */
export const adoptOwnMs = 10_000;

// Repair

/** Two heartbeats with another content hash and no record in between. */
export const repairAfterHeartbeats = 2;
/** 1 s to 60 s between repairs over one link while they change nothing. */
export const repairPauseMs = 1000;
export const maxRepairPauseMs = 60_000;
/** 100 ms: how often a peer's bucket list is answered. */
export const minRepairAnswerMs = 100;

// Questions for durability

/** 256 open questions of one peer; more are ignored, the asker's time-out covers it. */
export const maxOpenQuestionCount = 256;
/** 10 s: an open question is forgotten. */
export const questionLifeMs = 10_000;
