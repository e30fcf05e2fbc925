/** An update under load: new replicas are ready before old ones go, so nobody notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import { tscOk } from '../../lab/agents.ts';
import { nameOf } from '../facts.ts';
import { anotherMachine, newTraffic, picture, replicaCount, type Show, seconds } from '../show.ts';
import { failuresOf, type Outcome, reasonsOf } from '../traffic.ts';

/** 1 s of traffic before and after. */
const marginMs = 1_000;
/** 60 s on a busy machine. */
const limitMs = 60_000;

export async function update(show: Show): Promise<void> {
  const { stage, checks, facts, folder } = show;
  const machine = anotherMachine(show);
  stage.heading(`An update under load: \`VERSION=v2 tsc-compose up\`, on ${machine.name}`);
  stage.say('');
  const stop = facts.onChange((one) =>
    stage.note(`   ${one.machine}  ${nameOf(one)}  ${one.state}`),
  );
  const traffic = newTraffic(show);
  traffic.start();
  let tookMs = 0;
  const work = async (): Promise<void> => {
    await sleep(marginMs);
    const startMs = Date.now();
    await tscOk(machine, ['up'], { cwd: folder, env: { VERSION: 'v2' } });
    tookMs = Date.now() - startMs;
    await sleep(marginMs);
    await traffic.stop();
  };
  await stage.live(picture(show, traffic), work());
  stop();
  const { outcomes } = traffic;
  const failedCount = failuresOf(outcomes).length;
  const afterMs = (outcomes.at(-1)?.endedMs ?? 0) - marginMs / 2;
  const last = outcomes.filter(({ startedMs }) => startedMs > afterMs);
  checks.figure(
    `six replicas replaced in ${seconds(tookMs)}`,
    tookMs < limitMs && facts.running('web').length === replicaCount,
    `six, within ${seconds(limitMs)}`,
  );
  checks.figure(
    `${countOf(outcomes, 'v1')} answers were v1, ${countOf(outcomes, 'v2')} v2, and the last ones all v2`,
    countOf(outcomes, 'v1') > 0 && countOf(last, 'v2') === last.length && last.length > 0,
    'both, and v2 last',
  );
  checks.figure(
    `failed: ${failedCount} of ${outcomes.length}${reasonsOf(outcomes)}`,
    failedCount === 0,
    'none',
  );
  await stage.pause(4_000);
}

function countOf(outcomes: readonly Outcome[], version: string): number {
  return outcomes.filter(({ answer }) => answer?.version === version).length;
}
