/**
 * How much a project may ask of the loader, so that no text makes it run for minutes or fill the
 * memory: with these, anything ends within 2 s and 200 MB. The largest of 2,700 real files has
 * 44 KB and 7,000 tokens; a project of 1,000 services has about 100,000.
 */
import { TscError } from '../lib/errors.ts';

/** 2 MiB: of a Compose file, and of an env file. */
export const maxFileBytes = 2_097_152;

/** Words, signs and blanks of a YAML file; each takes some 200 bytes until the project is loaded. */
export const maxTokens = 300_000;

/** Nodes of a document with its aliases written out. One real file of anchors comes to 260,000. */
export const maxNodes = 400_000;

/** 1 MiB: of a text after its variables have been put in; more than an engine takes. */
export const maxTextLength = 1_048_576;

/** 256 KiB: of a text in which variables stand; finding where they end takes ever longer. */
export const maxTemplateLength = 262_144;

/** Ports of all ranges, one by one. */
export const maxPorts = 40_000;

export function tooLarge(message: string, file?: string): TscError {
  return new TscError(
    'E_COMPOSE_TOO_LARGE',
    message,
    file === undefined ? {} : { where: { file } },
  );
}
