/** Times and counts of the planner, with unit and reason. */

/** 0.1 s: the engine's own first pause before a restart. */
export const firstRestartDelayMs = 100;
/** 60 s: a container that cannot start costs the machine one attempt a minute, as with the engine. */
export const maxRestartDelayMs = 60_000;
/** 10 s: what ran for so long is not in a crash loop; the engine uses the same figure. */
export const stableMs = 10_000;
/** 1 s: connections that were opened before a container left DNS and ingress may still arrive. */
export const drainSettleMs = 1_000;
/** 5 s: a surplus copy is removed only when the kept one has served for some heartbeats. */
export const surplusSettleMs = 5_000;
/** 3: one bad start may be chance, and a service that waits for another one needs some. */
export const failedRestartCount = 3;
/** 10 s: a crash loop is reported only after a slow neighbour had the time to come up. */
export const failedRestartAgeMs = 10_000;
/** 60 s: a slot that could not be brought up is tried again, because the cause may be gone. */
export const failureRetryMs = 60_000;
/** 30 s: a container whose declared port never opens counts as ready, with a warning. */
export const portWaitMs = 30_000;
/** 250 ms: how often a port that is not open yet is looked at again. */
export const portProbeMs = 250;
/** 20 s: `up` waits so long for a container that is being restarted before it calls it broken. */
export const restartingGraceMs = 20_000;

/** 7 s in which a machine can gossip but not act: as long as a silent one is waited for. */
export const unableLostMs = 7_000;

/** 300 ms: several times what a record needs to reach all machines, and hardly felt by anybody. */
export const claimWaitMs = 300;
/** 2 slots at a time leave their machines in a rebalancing: it is never in a hurry. */
export const maxMoveCount = 2;
/** 30 s of calm before the counts are balanced by themselves: the last reboot is over by then. */
export const rebalanceSettleMs = 30_000;
/** 10 min after the last reboot nobody wonders any more why replicas move. */
export const rebalanceWindowMs = 600_000;

/** 64 changes back: more than anybody makes while a machine is away, in one kilobyte. */
export const maxAncestorCount = 64;

/** 5 s: Swarm's own `monitor`; how long all replicas must have been ready for a rollout to be good. */
export const verdictMonitorMs = 5_000;
/** 24 h: who asks for the log of a replaced container asks within a day. */
export const retiredKeepMs = 24 * 60 * 60 * 1_000;
/** 30 s: beside what its health check needs, a container may take so long to become ready. */
export const readyMarginMs = 30_000;
/** 15 s: an engine that is told to end may end its containers so long before its connections. */
export const engineLeavesMs = 15_000;
/** 10: revisions that `history` lists and `rollback` can go back to, per project. */
export const keptRevisionCount = 10;
/** 1 h: a record that nothing refers to yet may belong to a change that is on its way. */
export const unreferencedKeepMs = 60 * 60 * 1_000;

/**
 * The decisions of this code; agents use the lowest version among the members. 2: verdicts are
 * acted on, and a replaced container stays, stopped, for its logs.
 * 3: pre-deploy hooks are run, and hold a rollout until they have ended.
 * 4: weights, quick ranks, slots and moves in `op/`.
 */
export const planVersion = 4;
/** Agents from this plan version on carry out the moves of a rebalancing. */
export const movePlanVersion = 4;
/** Since this version agents know pre-deploy hooks. */
export const hookPlanVersion = 3;
