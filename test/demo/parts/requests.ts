/** Any machine answers with any replica. */
import { setTimeout as sleep } from 'node:timers/promises';
import { nameOf } from '../facts.ts';
import { hostName, newTraffic, picture, replicaCount, type Show } from '../show.ts';
import { failuresOf, reasonsOf } from '../traffic.ts';

/** 4 s with 40 requests each: every replica is met through every machine. */
const durationMs = 4_000;

export async function requests(show: Show): Promise<void> {
  const { stage, checks, facts } = show;
  stage.heading(`Requests for ${hostName} through every machine`);
  stage.say('   Each digit is an answer: the number of the replica, in its colour.', '');
  const traffic = newTraffic(show);
  traffic.start();
  await stage.live(
    picture(show, traffic),
    sleep(durationMs).then(() => traffic.stop()),
  );
  const { outcomes } = traffic;
  for (const { name } of facts.machines) {
    const answered = outcomes.flatMap((one) =>
      one.entrance === name && one.answer !== undefined ? [one.answer.replica] : [],
    );
    const names = new Set(answered.map((replica) => facts.ofHostname(replica)).filter(Boolean));
    const slots = [...names].flatMap((one) => (one === undefined ? [] : [nameOf(one)])).sort();
    checks.figure(
      `through ${name}: ${answered.length} answers of ${slots.length} replicas`,
      slots.length === replicaCount && answered.length >= replicaCount,
      `${replicaCount} replicas`,
    );
  }
  const failedCount = failuresOf(outcomes).length;
  checks.figure(
    `failed: ${failedCount} of ${outcomes.length}${reasonsOf(outcomes)}`,
    failedCount === 0,
    'none',
  );
  await stage.pause(3_000);
}
