/**
 * A fault of a Compose file whose path is known but not yet its line. Steps that see only values
 * throw it; the loader, which has the files, adds the place before anybody else sees it.
 */
import { type ErrorCode, TscError, type TscErrorOptions } from '../lib/errors.ts';
import type { KeyPath } from './value.ts';

export class FaultAt extends TscError {
  readonly path: KeyPath;

  constructor(code: ErrorCode, path: KeyPath, message: string, options: TscErrorOptions = {}) {
    super(code, message, options);
    this.path = path;
  }
}

/** 20: more than anybody corrects before loading again. */
const maxFaults = 20;

/**
 * Reports faults that were found together; the first is the one that counts.
 * @throws TscError unless there are none
 */
export function throwAll(faults: readonly TscError[]): void {
  const [first, ...others] = faults;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  const { code, message, hint, where } = first;
  const left = faults.length - maxFaults;
  throw new TscError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(where === undefined ? {} : { where }),
    also: [
      ...others.slice(0, maxFaults - 1),
      ...(left > 0 ? [new TscError(code, `and ${left} more`)] : []),
    ],
  });
}
