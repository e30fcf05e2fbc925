/** `up`: replicas spread over the machines. */
import { tscOk } from '../../lab/agents.ts';
import { nameOf } from '../facts.ts';
import { anotherMachine, picture, replicaCount, type Show, seconds } from '../show.ts';

/** 30 s on a busy machine; 3 s on a quiet one. */
const limitMs = 30_000;

export async function up(show: Show): Promise<void> {
  const { stage, checks, facts, folder } = show;
  const machine = anotherMachine(show);
  stage.heading(`\`tsc-compose up\`, on ${machine.name}`);
  stage.say('');
  const stop = facts.onChange((one) =>
    stage.note(`   ${one.machine}  ${nameOf(one)}  ${one.state}`),
  );
  const startMs = Date.now();
  await stage.live(picture(show), tscOk(machine, ['up'], { cwd: folder }));
  const tookMs = Date.now() - startMs;
  await facts.until('six web servers and a store', 5_000, () => facts.running().length === 7);
  stop();
  checks.figure(`all ready after ${seconds(tookMs)}`, tookMs < limitMs, seconds(limitMs));
  const counts = facts.machines.map(
    ({ name }) => facts.running('web').filter((one) => one.machine === name).length,
  );
  checks.figure(
    `web replicas on ${facts.machines.map(({ name }) => name).join(', ')}: ${counts.join(', ')}`,
    counts.every((count) => count === replicaCount / counts.length),
    'as many on each',
  );
  await stage.pause(4_000);
}
