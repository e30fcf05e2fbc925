/**
 * Files as the user knows them: below the current folder by their relative path, as they were
 * typed, elsewhere by the whole one. Pure.
 */
import { posix } from 'node:path';
import type { LoadResult } from '../compose/index.ts';
import type { Place } from '../lib/errors.ts';
import { TscError } from '../lib/errors.ts';

/** @returns "compose.yaml" for /home/me/app/compose.yaml seen from /home/me/app */
export function shownFile(file: string, cwd: string): string {
  if (!posix.isAbsolute(file)) return file;
  const path = posix.relative(cwd, file);
  return path === '' || path === '..' || path.startsWith('../') ? file : path;
}

export function shownPlace(place: Place, cwd: string): Place {
  return { ...place, file: shownFile(place.file, cwd) };
}

/** The same error, its place as the user knows it. */
export function withShownPlace(error: TscError, cwd: string): TscError {
  const { code, message, hint, where, cause, also } = error;
  if (where === undefined) return error;
  return new TscError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
    where: shownPlace(where, cwd),
    also: also.map((other) => withShownPlace(other, cwd)),
  });
}

/** An agent names the key that it refuses; here is known where that stands. */
export function withPlaceOfKey(
  error: unknown,
  positions: Pick<LoadResult['positions'], 'find'>,
): unknown {
  if (!(error instanceof TscError) || error.where !== undefined) return error;
  const [, service, key] = /^services\.([\w.-]+)\.(x-[\w-]+): /.exec(error.message) ?? [];
  if (service === undefined || key === undefined) return error;
  const where = positions.find(['services', service, key]);
  if (where === undefined) return error;
  const { code, message, hint, cause } = error;
  return new TscError(code, message, {
    where,
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
  });
}
