/**
 * The command `config` (also `convert`): prints the project as it was understood, or a list of its
 * parts. Decides which loader call answers which flags; parses no arguments and touches no disk.
 */

import {
  type Environment,
  imageName,
  type LoadOptions,
  type LoadResult,
  loadModel,
  loadProject,
  modelYaml,
  type ProjectReader,
  projectJson,
  projectYaml,
  serviceHash,
} from '../compose/index.ts';
import { TscError } from '../lib/errors.ts';
import type { Json } from '../model/project.ts';

export interface ConfigOptions {
  readonly files?: readonly string[];
  readonly projectName?: string;
  readonly projectDirectory?: string;
  readonly profiles?: readonly string[];
  readonly envFiles?: readonly string[];
  /** Names after the flags. */
  readonly selected?: readonly string[];
  readonly allResources?: boolean;
  readonly compatibility?: boolean;
  readonly format?: string;
  readonly output?: string;
  readonly quiet?: boolean;
  readonly interpolate?: boolean;
  readonly normalize?: boolean;
  readonly pathResolution?: boolean;
  readonly consistency?: boolean;
  /** Accepted, and without effect on what is printed, as in Docker Compose. */
  readonly envResolution?: boolean;
  readonly services?: boolean;
  readonly volumes?: boolean;
  readonly networks?: boolean;
  readonly models?: boolean;
  readonly profileNames?: boolean;
  readonly images?: boolean;
  readonly hash?: string;
  readonly variables?: boolean;
  readonly environment?: boolean;
}

export interface ConfigIo {
  readonly cwd: string;
  readonly env: Environment;
  readonly reader: ProjectReader;
  stdout(text: string): void;
  stderr(text: string): void;
  /** As hexadecimal digits. */
  sha256(text: string): string;
  /** Writes the file named by `--output`. */
  writeFile?(path: string, text: string): void;
}

/**
 * Runs `config`.
 * @returns the exit code; faults of the file are thrown as TscError
 */
export function configCommand(options: ConfigOptions, io: ConfigIo): number {
  const answer = answerOf(options, io);
  if (options.quiet === true) return 0;
  if (options.output !== undefined && io.writeFile !== undefined) {
    io.writeFile(options.output, answer);
  } else {
    io.stdout(answer);
  }
  return 0;
}

function loadOptions(options: ConfigOptions, io: ConfigIo): LoadOptions {
  return {
    cwd: io.cwd,
    environment: io.env,
    readsAllEnvFiles: true,
    files: options.files ?? [],
    profiles: options.profiles ?? [],
    envFiles: options.envFiles ?? [],
    services: options.selected ?? [],
    ...(options.projectName === undefined ? {} : { projectName: options.projectName }),
    ...(options.projectDirectory === undefined
      ? {}
      : { projectDirectory: options.projectDirectory }),
    skipInterpolation: options.interpolate === false,
    skipNormalisation: options.normalize === false || options.compatibility === true,
    skipConsistency: options.consistency === false,
    skipPathResolution: options.pathResolution === false,
    keepsUnused: options.allResources === true,
  };
}

function answerOf(options: ConfigOptions, io: ConfigIo): string {
  const base = loadOptions(options, io);
  const warn = (warnings: readonly string[]): void => {
    for (const warning of warnings) io.stderr(`warning: ${warning}\n`);
  };
  const load = (extra: Partial<LoadOptions> = {}): LoadResult => {
    const result = loadProject({ ...base, skipEnvResolution: true, ...extra }, io.reader);
    warn(result.warnings);
    return result;
  };
  const all = { services: [] };
  if (options.services === true) {
    if (options.interpolate === false) {
      const { model, warnings } = loadModel(base, io.reader);
      warn(warnings);
      return lines(Object.keys(memberOf(model, 'services') ?? {}));
    }
    return lines(Object.keys(load(all).project.services));
  }
  if (options.volumes === true) return lines(Object.keys(load(all).project.volumes ?? {}));
  if (options.networks === true) return lines(Object.keys(load(all).project.networks ?? {}));
  if (options.models === true) {
    const models = Object.values(load(all).project.models ?? {});
    return lines(models.map((model) => memberOf(model ?? null, 'model')).filter(isText));
  }
  if (options.hash !== undefined && options.hash !== '') {
    return hashes(options.hash, load(all), io);
  }
  if (options.profileNames === true) return lines(profileNames(load()));
  if (options.images === true) {
    const { project } = load();
    return lines(
      Object.entries(project.services).map(([name, service]) =>
        imageName(service, name, project.name),
      ),
    );
  }
  if (options.variables === true) {
    const { variables, warnings } = loadModel({ ...base, skipInterpolation: true }, io.reader);
    warn(warnings);
    if (options.format === 'json') return `${JSON.stringify(Object.fromEntries(variables))}\n`;
    return lines([
      'NAME\tREQUIRED\tDEFAULT VALUE\tALTERNATE VALUE',
      ...[...variables.values()].map(
        (v) => `${v.Name}\t${v.Required}\t${v.DefaultValue}\t${v.PresenceValue}`,
      ),
    ]);
  }
  if (options.environment === true) {
    const { environment } = load({ skipEnvResolution: false });
    return lines(
      Object.entries(environment)
        .map(([key, value]) => `${key}=${value}`)
        .sort(),
    );
  }
  const format = options.format === undefined || options.format === '' ? 'yaml' : options.format;
  if (format !== 'json' && format !== 'yaml') {
    throw new TscError('E_USAGE', `unsupported format ${JSON.stringify(format)}`);
  }
  if (options.interpolate === false) {
    const { model, warnings } = loadModel(base, io.reader);
    warn(warnings);
    return format === 'json' ? toJsonText(model) : modelYaml(model);
  }
  const { project } = load({ skipEnvResolution: false });
  // The output is a Compose file again, in which a dollar must be written twice.
  const shown = format === 'json' ? toJsonText(projectJson(project)) : projectYaml(project);
  return shown.replaceAll('$', '$$$$');
}

function toJsonText(value: Json): string {
  const text = JSON.stringify(
    value,
    (_key, item: unknown) => {
      if (typeof item !== 'number' || Number.isFinite(item)) return item;
      throw new TscError('E_COMPOSE_PARSE', `JSON has no number for ${item}: unsupported value`, {
        hint: 'use --format yaml',
      });
    },
    2,
  );
  return `${text}\n`;
}

function hashes(names: string, { project }: LoadResult, io: ConfigIo): string {
  const wanted = names === '*' ? Object.keys(project.services) : names.split(',');
  return lines(
    wanted.sort().map((name) => {
      const service = project.services[name];
      if (service === undefined) {
        throw new TscError('E_COMPOSE_CONSISTENCY', `no such service: ${name}: not found`);
      }
      return `${name} ${serviceHash(service, (text) => io.sha256(text))}`;
    }),
  );
}

function profileNames({ project, disabledServices }: LoadResult): string[] {
  const services = [...Object.values(project.services), ...Object.values(disabledServices)];
  return [...new Set(services.flatMap((service) => service.profiles ?? []))].sort();
}

function memberOf(value: Json, key: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // What is neither null nor a list is a mapping.
  return (value as Record<string, Json | undefined>)[key];
}

function isText(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== '';
}

function lines(items: readonly string[]): string {
  return items.map((item) => `${item}\n`).join('');
}
