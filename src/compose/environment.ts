/**
 * The variables that a project sees: the process environment wins over env files, a later env file
 * over an earlier one. Also gives values to variables that services, secrets and configs name only.
 */
import { TscError } from '../lib/errors.ts';
import { decodeText, type Environment, type LoadContext } from './context.ts';
import { parseEnvFile, type Variables } from './env-file.ts';
import { type Dict, entriesOf, isDict } from './value.ts';

/** What `extra` adds to `environment`; what is set already stays. */
export function mergeEnvironment(environment: Environment, extra: Variables): Environment {
  return { ...Object.fromEntries(extra), ...environment };
}

/** Looks up own entries only: `constructor` is not a variable. */
export function lookupIn(environment: Environment): (name: string) => string | undefined {
  return (name) => (Object.hasOwn(environment, name) ? environment[name] : undefined);
}

/** Reads env files that must exist, in order. */
export function readEnvFiles(
  files: readonly string[],
  environment: Environment,
  context: LoadContext,
): Variables {
  const variables: Variables = new Map();
  const find = lookupIn(environment);
  for (const file of files) {
    const path = context.absolute(file);
    if (context.reader.isDirectory(path)) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `${path} is a directory`);
    }
    const bytes = context.reader.readFile(path);
    if (bytes === undefined) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `couldn't find env file: ${path}`);
    }
    parseEnvFile(
      path,
      decodeText(path, bytes),
      variables,
      (name) => find(name) ?? variables.get(name),
      (message) => context.warn(message),
    );
  }
  return variables;
}

/** The key that holds the value of a secret taken from the environment; never printed. */
export const secretValueKey = 'x-#value';

/** Fills in values that the project takes from the environment by name. Changes the dictionary. */
export function resolveEnvironment(dict: Dict, environment: Environment): void {
  const find = lookupIn(environment);
  forEachMember(dict.services, (service) => {
    if (!Array.isArray(service.environment)) return;
    service.environment = service.environment.flatMap((item) => {
      if (typeof item !== 'string') return [];
      const value = find(item);
      return [value === undefined ? item : `${item}=${value}`];
    });
  });
  const fill = (key: string) => (resource: Dict) => {
    if (typeof resource.environment !== 'string') return;
    const value = find(resource.environment);
    if (value !== undefined) resource[key] = value;
  };
  forEachMember(dict.secrets, fill(secretValueKey));
  forEachMember(dict.configs, fill('content'));
}

function forEachMember(value: Dict[string], visit: (member: Dict) => void): void {
  if (!isDict(value)) return;
  for (const [, member] of entriesOf(value)) if (isDict(member)) visit(member);
}
