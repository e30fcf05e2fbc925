import { createLog, type Log } from '../../../agent/log.ts';

/** A log whose lines can be looked at. */
export function aLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLog((line) => lines.push(line), 'debug'), lines };
}
