/**
 * The demo from beginning to end. One part after the other on one lab; a figure that is not what it
 * has to be does not stop it, and makes the exit code 1.
 */
import { Lab } from '../lab/lab.ts';
import { Checks } from './checks.ts';
import { Facts } from './facts.ts';
import { closing } from './parts/closing.ts';
import { hasCommand } from './parts/commands.ts';
import { composeFile } from './parts/compose-file.ts';
import { powerCut } from './parts/power-cut.ts';
import { push } from './parts/push.ts';
import { requests } from './parts/requests.ts';
import { up } from './parts/up.ts';
import { update } from './parts/update.ts';
import { announce, copySample, labName, setUp } from './set-up.ts';
import { anotherMachine, projectName, type Show, seconds } from './show.ts';
import { Stage } from './stage.ts';

/** Runs the demo. @returns the exit code */
export async function demo(options: { readonly isAuto: boolean }): Promise<number> {
  const stage = new Stage(options);
  const startMs = Date.now();
  announce(stage);
  await stage.pause(3_000);
  const lab = await setUp(stage);
  if (lab === undefined) return 1;
  const checks = new Checks(stage);
  const facts = new Facts(lab, projectName);
  const show: Show = { stage, checks, lab, facts, folder: copySample(lab) };
  try {
    await composeFile(show);
    await up(show);
    await requests(show);
    await powerCut(show);
    await update(show);
    if (await hasCommand(anotherMachine(show), 'push')) await push(show);
    await closing(show);
  } finally {
    await facts.stop();
  }
  const { failed, count } = checks;
  for (const sentence of failed) stage.say(stage.paint.bad(`✘ ${sentence}`));
  const took = seconds(Date.now() - startMs);
  stage.say(`${count - failed.length} of ${count} figures are as they have to be; ${took}`);
  return failed.length === 0 ? 0 : 1;
}

/** Takes the demo's machines away. @returns the exit code */
export function down(): number {
  Lab.cleanLeftovers(labName);
  const left = Lab.leftovers(labName);
  for (const { kind, name } of left) process.stdout.write(`left over: ${kind} ${name}\n`);
  if (left.length === 0) process.stdout.write('The demo is gone; nothing of it is left.\n');
  return left.length === 0 ? 0 : 1;
}
