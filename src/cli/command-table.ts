/**
 * The commands by name. Only the module of the command that was asked for is loaded, so that
 * `--help` and `ps` pay for neither dockerode nor the Compose loader nor ink.
 */
import type { CommandModule } from './cli.ts';

export interface CommandEntry {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

export const commandTable: readonly CommandEntry[] = [
  entry(
    'up',
    'Create or update the services and wait until they are ready',
    () => import('./commands/up.ts'),
  ),
  entry(
    'plan',
    'Show what up would do, step by step, and change nothing',
    () => import('./commands/plan.ts'),
  ),
  entry(
    'down',
    'Stop and remove the containers of the project',
    () => import('./commands/down.ts'),
  ),
  entry('ps', 'List containers, on whichever machine they are', () => import('./commands/ps.ts')),
  entry(
    'status',
    'Show machines, services and replicas, live',
    () => import('./commands/status.ts'),
  ),
  entry('ls', 'List projects', () => import('./commands/ls.ts')),
  entry(
    'logs',
    'Show the output of containers of all machines',
    () => import('./commands/logs.ts'),
  ),
  entry('exec', 'Run a command in a running container', () => import('./commands/exec.ts')),
  entry('scale', 'Set the number of replicas of services', () => import('./commands/scale.ts')),
  entry('stop', 'Stop services; their containers are kept', () => import('./commands/stop.ts')),
  entry('start', 'Start stopped services', () => import('./commands/start.ts')),
  entry('restart', 'Restart services, replica by replica', () => import('./commands/restart.ts')),
  entry('kill', 'Send a signal to containers', () => import('./commands/kill.ts')),
  entry('rm', 'Remove containers that have ended', () => import('./commands/rm.ts')),
  entry(
    'wait',
    'Wait for the rollout, or until services have ended',
    () => import('./commands/wait.ts'),
  ),
  entry(
    'why',
    'Explain a service or a container: where, why there, what it waits for',
    () => import('./commands/why.ts'),
  ),
  entry(
    'rollback',
    'Go back to an earlier revision of the project',
    () => import('./commands/rollback.ts'),
  ),
  entry(
    'history',
    'List the changes of the project and how they ended',
    () => import('./commands/history.ts'),
  ),
  entry(
    'diff',
    'Show what up would change, by service and key',
    () => import('./commands/diff.ts'),
  ),
  entry('config', 'Print the project as it was understood', () => import('./commands/config.ts'), [
    'convert',
  ]),
  entry(
    'check',
    'Say what of the file is honoured, translated or refused',
    () => import('./commands/check.ts'),
  ),
  entry(
    'push',
    'Bring images to the machines, only the layers they lack',
    () => import('./commands/push.ts'),
  ),
  entry(
    'volume',
    'List volumes and where they are; move one, or give its data up',
    () => import('./commands/volume.ts'),
    ['volumes'],
  ),
  entry(
    'rebalance',
    'Make the counts of replicas even again',
    () => import('./commands/rebalance.ts'),
  ),
  entry(
    'machine',
    'Form the cluster and set its machines: init, join, ls, drain, label, rm',
    () => import('./commands/machine.ts'),
  ),
  entry(
    'version',
    'Print the version of the command and of the agent',
    () => import('./commands/version.ts'),
  ),
];

function entry(
  name: string,
  summary: string,
  load: () => Promise<CommandModule>,
  aliases: readonly string[] = [],
): CommandEntry {
  return { name, aliases, summary, load };
}
