/** The library: load Compose files and speak with an agent. Importing it loads no dockerode or ws. */
export { type ErrorCode, formatError, type Place, TscError } from './lib/errors.ts';
export type * from './model/project.ts';
export type * from './model/snapshot.ts';
