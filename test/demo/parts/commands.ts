/** Which commands the built tsc-compose has. */
import { tscOk } from '../../lab/agents.ts';
import type { Machine } from '../../lab/machine.ts';

/** Whether its help lists the command. */
export async function hasCommand(machine: Machine, name: string): Promise<boolean> {
  return new RegExp(`^  ${name}\\b`, 'mu').test(await tscOk(machine, ['--help']));
}
