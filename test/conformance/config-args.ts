/**
 * Arguments of `config` for the conformance cases, without the command line library: the cases
 * are about the loader, and thousands of them run in one process.
 */
import type { ConfigOptions } from '../../src/cli/config.ts';
import { TscError } from '../../src/lib/errors.ts';

type Mutable = { -readonly [K in keyof ConfigOptions]: ConfigOptions[K] } & {
  files: string[];
  profiles: string[];
  envFiles: string[];
  selected: string[];
};

const switches: Readonly<Record<string, (options: Mutable) => void>> = {
  '--services': (o) => {
    o.services = true;
  },
  '--volumes': (o) => {
    o.volumes = true;
  },
  '--networks': (o) => {
    o.networks = true;
  },
  '--models': (o) => {
    o.models = true;
  },
  '--profiles': (o) => {
    o.profileNames = true;
  },
  '--images': (o) => {
    o.images = true;
  },
  '--variables': (o) => {
    o.variables = true;
  },
  '--environment': (o) => {
    o.environment = true;
  },
  '--quiet': (o) => {
    o.quiet = true;
  },
  '-q': (o) => {
    o.quiet = true;
  },
  '--no-interpolate': (o) => {
    o.interpolate = false;
  },
  '--no-normalize': (o) => {
    o.normalize = false;
  },
  '--no-path-resolution': (o) => {
    o.pathResolution = false;
  },
  '--no-consistency': (o) => {
    o.consistency = false;
  },
  '--no-env-resolution': (o) => {
    o.envResolution = false;
  },
  // These change how Compose talks, not what it says here.
  '--dry-run': () => undefined,
  '--verbose': () => undefined,
  '--all-resources': (o) => {
    o.allResources = true;
  },
  '--compatibility': (o) => {
    o.compatibility = true;
  },
};

const values: Readonly<Record<string, (options: Mutable, value: string) => void>> = {
  '-f': (o, v) => void o.files.push(v),
  '--file': (o, v) => void o.files.push(v),
  '--profile': (o, v) => void o.profiles.push(v),
  '--env-file': (o, v) => void o.envFiles.push(v),
  '-p': (o, v) => {
    o.projectName = v;
  },
  '--project-name': (o, v) => {
    o.projectName = v;
  },
  '--project-directory': (o, v) => {
    o.projectDirectory = v;
  },
  '--workdir': (o, v) => {
    o.projectDirectory = v;
  },
  '--format': (o, v) => {
    o.format = v;
  },
  '--hash': (o, v) => {
    o.hash = v;
  },
  '--ansi': () => undefined,
  '--progress': () => undefined,
  '--parallel': () => undefined,
  '-o': (o, v) => {
    o.output = v;
  },
  '--output': (o, v) => {
    o.output = v;
  },
};

/** Reads global arguments and those of `config`, in any order. */
export function parseConfigArgs(args: readonly string[]): ConfigOptions {
  const options: Mutable = { files: [], profiles: [], envFiles: [], selected: [] };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    if (!arg.startsWith('-') || arg === '-') {
      options.selected.push(arg);
      continue;
    }
    const equals = arg.startsWith('--') ? arg.indexOf('=') : -1;
    const name = equals < 0 ? arg : arg.slice(0, equals);
    const turnOn = switches[name];
    const take = values[name];
    if (turnOn !== undefined) turnOn(options);
    else if (take === undefined) throw new TscError('E_USAGE', `unknown flag: ${arg}`);
    else if (equals >= 0) take(options, arg.slice(equals + 1));
    else {
      const value = args[++i];
      if (value === undefined) throw new TscError('E_USAGE', `flag needs an argument: ${arg}`);
      take(options, value);
    }
  }
  return options;
}
