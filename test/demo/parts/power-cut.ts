/**
 * A machine loses its power, by itself: nobody is asked and nothing is announced. It is the one
 * with the store's volume, so that the demo shows what the volume's service does, too. Then it
 * comes back.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAgent, tscOk } from '../../lab/agents.ts';
import type { Machine } from '../../lab/machine.ts';
import { nameOf } from '../facts.ts';
import {
  anotherMachine,
  newTraffic,
  picture,
  projectName,
  replicaCount,
  type Show,
  seconds,
} from '../show.ts';
import { failuresOf, reasonsOf } from '../traffic.ts';
import { type CutCounts, countCut } from './cut-counts.ts';

/** 1.5 s of traffic before the cut, 3 s after all replicas are back. */
const beforeMs = 1_500;
const afterMs = 3_000;
/** 15 s, as promised: 7 s to be sure that it is lost, and the start of the containers. */
const elsewhereLimitMs = 15_000;
/** 5 s, as promised: then nobody sends requests to its replicas any more. */
const failingLimitMs = 5_000;
/** 60 s: the engine, the agent, the records and the surplus that is drained. */
const returnLimitMs = 60_000;
/** 2 s without a change: the counts are final. */
const stableMs = 2_000;

export async function powerCut(show: Show): Promise<void> {
  const { stage, facts, lab } = show;
  const store = facts.running('store')[0];
  if (store === undefined) throw new Error('the store does not run');
  const victim = lab.machine(store.machine);
  const asker = anotherMachine(show, victim.name);
  const word = randomBytes(4).toString('hex');
  await redis(asker, ['set', 'word', word]);

  const lostCount = facts.running('web').filter((one) => one.machine === victim.name).length;
  stage.heading(
    `A power cut: ${victim.name}, with ${lostCount} web replicas and the store's volume`,
  );
  stage.say('');
  await cut(show, victim, lostCount);
  volumeLine(show, victim);
  await stage.pause(6_000);

  stage.heading(`${victim.name} gets its power back`);
  stage.say('');
  await comeBack(show, victim);
  const found = await redis(asker, ['get', 'word']);
  show.checks.figure(
    `the store runs on its volume again and has what was written before: "${found}"`,
    found === word,
    `"${word}"`,
  );
  await stage.pause(4_000);
}

async function cut(show: Show, victim: Machine, lostCount: number): Promise<void> {
  const { stage, checks, facts } = show;
  const before = new Set(facts.running().map(({ id }) => id));
  const traffic = newTraffic(show);
  const appeared: string[] = [];
  let cutMs = 0;
  const stop = facts.onChange((one) => {
    if (one.state !== 'running' || before.has(one.id)) return;
    const line = `${nameOf(one)} on ${one.machine} after ${seconds(Date.now() - cutMs)}`;
    appeared.push(line);
    stage.note(`   ${line}`);
  });
  traffic.start();
  let elsewhereMs = 0;
  const work = async (): Promise<void> => {
    await sleep(beforeMs);
    cutMs = Date.now();
    await victim.crash();
    stage.note(`   ${victim.name} is off`);
    await facts.until(`${replicaCount} web replicas elsewhere`, 2 * elsewhereLimitMs, () => {
      const isOff = facts.machines.some(({ name, isUp }) => name === victim.name && !isUp);
      return isOff && facts.running('web').length === replicaCount;
    });
    elsewhereMs = Date.now() - cutMs;
    await sleep(afterMs);
    await traffic.stop();
  };
  await stage.live(picture(show, traffic), work());
  stop();
  checks.figure(
    `elsewhere again: ${appeared.join(', ')}`,
    lostCount > 0 && appeared.length === lostCount && elsewhereMs <= elsewhereLimitMs,
    `${lostCount}, within ${seconds(elsewhereLimitMs)}`,
  );
  sayCounts(show, countCut(traffic.outcomes, victim.name, cutMs), victim.name);
}

function sayCounts({ checks }: Show, counts: CutCounts, victim: string): void {
  const { total, rerouted, lostInside, failedElsewhere, lastFailureMs } = counts;
  const failedCount = failedElsewhere.length;
  checks.figure(
    `${rerouted} of ${total} requests tried ${victim} first; another machine answered them`,
    rerouted > 0,
    'some',
  );
  checks.figure(
    `failed: ${lostInside} under way inside ${victim} when its power went`,
    lostInside <= mostLostInside,
    `at most ${mostLostInside}`,
  );
  checks.figure(
    `failed: ${failedCount} through the other machines${
      failedCount === 0 ? '' : `, none sent later than ${seconds(lastFailureMs)} after the cut`
    }${reasonsOf(failedElsewhere)}`,
    failedCount <= mostFailedElsewhere && lastFailureMs <= failingLimitMs,
    `at most ${mostFailedElsewhere}, none sent later than ${seconds(failingLimitMs)}`,
  );
}

/** 5: a third of 40 requests a second, some of which take 0.3 s on a busy machine. */
const mostLostInside = 5;
/** 0: a machine takes traffic again only for what runs there. */
const mostFailedOnReturn = 0;
/** 40: a third of the replicas, for the seconds until the others know. */
const mostFailedElsewhere = 40;

/** The honest line. */
function volumeLine({ checks, facts }: Show, victim: Machine): void {
  checks.figure(
    `the volume ${projectName}_data is on ${victim.name}'s disk: the store is held until ` +
      `${victim.name} is back, not started empty elsewhere; meanwhile it is away`,
    facts.running('store').length === 0,
    'no store elsewhere',
  );
}

async function comeBack(show: Show, victim: Machine): Promise<void> {
  const { stage, checks, facts } = show;
  const traffic = newTraffic(show);
  traffic.start();
  const startMs = Date.now();
  const stop = facts.onChange((one) =>
    stage.note(`   ${one.machine}  ${nameOf(one)}  ${one.state}`),
  );
  let backMs = 0;
  let settledMs = 0;
  const work = async (): Promise<void> => {
    await victim.boot();
    // What systemd does on a real machine.
    await startAgent(victim);
    const isBack = () => facts.running('store').some(({ machine }) => machine === victim.name);
    await facts.until('the store', returnLimitMs, isBack);
    backMs = Date.now() - startMs;
    const isExact = () =>
      facts.running('web').length === replicaCount && facts.running('store').length === 1;
    for (let sinceMs = Date.now(); Date.now() - sinceMs < stableMs; await sleep(100)) {
      if (!isExact()) sinceMs = Date.now();
      if (Date.now() - startMs > returnLimitMs) break;
    }
    settledMs = Date.now() - startMs - stableMs;
    await traffic.stop();
  };
  await stage.live(picture(show, traffic), work());
  stop();
  checks.figure(
    `the store is back after ${seconds(backMs)}, boot of engine and agent included`,
    backMs <= returnLimitMs,
    seconds(returnLimitMs),
  );
  const web = facts.running('web').length;
  checks.figure(
    `${web} web replicas and ${facts.running('store').length} store, none twice, after ${seconds(settledMs)}`,
    web === replicaCount && facts.running('store').length === 1,
    `${replicaCount} and 1`,
  );
  const { outcomes } = traffic;
  const failedCount = failuresOf(outcomes).length;
  checks.figure(
    `failed while it came back: ${failedCount} of ${outcomes.length}${reasonsOf(outcomes)}`,
    failedCount <= mostFailedOnReturn,
    `at most ${mostFailedOnReturn}`,
  );
}

/** Asks the store from any machine. @returns its answer */
async function redis(machine: Machine, words: readonly string[]): Promise<string> {
  const exec = ['-p', projectName, 'exec', '-T', 'store', 'redis-cli', ...words];
  return (await tscOk(machine, exec)).trim();
}
