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
