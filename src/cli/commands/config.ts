/** `config`, also `convert`: the flags of src/cli/config.ts, which answers. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Cli, CommandModule } from '../cli.ts';
import { addProjectFlags } from '../cli.ts';
import type { ConfigOptions } from '../config.ts';
import { loadOptions } from '../load.ts';

/** As commander gathers them; `profiles` lists names here, `profile` switches them on. */
interface ConfigFlags
  extends Omit<
    ConfigOptions,
    'files' | 'projectName' | 'projectDirectory' | 'profiles' | 'envFiles' | 'selected'
  > {
  readonly profiles?: boolean;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to show, with all they depend on; default: all')
    .option('--format <format>', 'yaml or json', 'yaml')
    .option('-o, --output <path>', 'write to this file')
    .option('-q, --quiet', 'only check')
    .option('--services', 'print the names of the services')
    .option('--volumes', 'print the names of the volumes')
    .option('--networks', 'print the names of the networks')
    .option('--models', 'print the names of the models')
    .option('--profiles', 'print the names of the profiles')
    .option('--images', 'print the names of the images')
    .option('--hash <services>', 'print hashes of services: "*", or names with commas')
    .option('--variables', 'print the variables that the files use')
    .option('--environment', 'print the environment that variables are taken from')
    .option('--all-resources', 'also what no service uses')
    .option('--no-interpolate', 'leave variables as they stand')
    .option('--no-normalize', 'add no defaults')
    .option('--no-path-resolution', 'leave relative paths as they stand')
    .option('--no-consistency', 'do not check that the parts fit together')
    .option('--no-env-resolution', 'do not read env files of services');
  attach(command, async (cli, services) => {
    const [{ configCommand }, { FsReader }] = await Promise.all([
      import('../config.ts'),
      import('../fs-reader.ts'),
    ]);
    const { environment, cwd } = loadOptions(cli);
    return configCommand(configOptions(cli, services, command.opts<ConfigFlags>()), {
      cwd,
      env: environment,
      reader: new FsReader(),
      sha256: (text) => process.getBuiltinModule('node:crypto').hash('sha256', text),
      stdout: (text) => cli.io.stdout.write(text),
      stderr: (text) => cli.io.stderr.write(text),
      writeFile: (path, text) => writeFileSync(resolve(cwd, path), text),
    });
  });
};

function configOptions(
  { flags }: Cli,
  services: readonly string[],
  { profiles, ...options }: ConfigFlags,
): ConfigOptions {
  return {
    ...options,
    files: flags.file,
    profiles: flags.profile,
    envFiles: flags.envFile,
    selected: services,
    profileNames: profiles ?? false,
    ...(flags.projectName === undefined ? {} : { projectName: flags.projectName }),
    ...(flags.projectDirectory === undefined ? {} : { projectDirectory: flags.projectDirectory }),
  };
}
