/** How to look around, and how to end it. Each command that is printed here is tried first. */

import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/run.ts';
import { labName } from '../set-up.ts';
import { anotherMachine, projectName, type Show } from '../show.ts';
import { hasCommand } from './commands.ts';

export async function closing(show: Show): Promise<void> {
  const { stage, checks } = show;
  const machine = anotherMachine(show);
  const inside = ['--lab', labName, 'exec', machine.name, 'tsc-compose', '-p', projectName];
  stage.heading('Now you');
  stage.say('', '   The machines run on. Look at them:');
  const wanted: [string, string][] = [
    ['status', 'the cluster live, with keys to move'],
    ['ps', 'all replicas'],
    ['logs web', 'what they say'],
  ];
  for (const [command, what] of wanted) {
    if (!(await hasCommand(machine, command.split(' ')[0] ?? ''))) continue;
    const words = [...inside, ...command.split(' ')];
    const tried = await run([process.execPath, 'test/lab/cli.ts', ...words], { cwd: projectDir });
    checks.figure(`npm run lab -- ${words.join(' ')}   # ${what}`, tried.code === 0, 'exit code 0');
  }
  stage.say(
    '',
    `   \`npm run lab -- --lab ${labName} crash m3\` and \`boot m3\` cut and restore power by hand`,
    '   (the agent of a booted machine is started by hand, too; on a server systemd does it).',
    '',
    `   ${stage.paint.bold('npm run demo -- down')} ends them and leaves nothing.`,
    '',
  );
}
