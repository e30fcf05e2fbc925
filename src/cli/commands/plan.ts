/** `plan`: what `up` would do, step by step, and how many replicas stay ready meanwhile. */
import type { CommandModule } from '../cli.ts';
import { define as defineUp } from './up.ts';

export const define: CommandModule['define'] = (command, attach) => {
  defineUp(command, (target, handler) => {
    // The same flags, so that a plan is that of the very `up` that follows.
    target.setOptionValue('dryRun', true);
    attach(target, handler);
  });
};
