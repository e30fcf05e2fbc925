/**
 * `up`: loads the project, hands it to the agent, follows the rollout and says where the app
 * answers. After the acknowledgement the rollout needs this command no longer.
 */
import { TscError } from '../../lib/errors.ts';
import type { UpAnswer, UpRequest } from '../../model/api.ts';
import type { Project } from '../../model/project.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { answersAt } from '../answers-at.ts';
import { carryBinds } from '../binds.ts';
import { readCaddyfiles } from '../caddyfile.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { addProjectFlags, collect, count, exitCode, say } from '../cli.ts';
import { painter } from '../colour.ts';
import { readContents } from '../contents.ts';
import { credentialsFor } from '../docker-config.ts';
import { dryRunLines } from '../dry-run.ts';
import { followRollout } from '../follow.ts';
import type { Loaded } from '../load.ts';
import { loadFor } from '../load.ts';
import { withPlaceOfKey } from '../places.ts';
import { heldNotes } from '../ps-rows.ts';
import { pushForUp } from '../push-for-up.ts';
import { requireServices, withDependencies } from '../selection.ts';
import { refuseUnsupported } from '../support.ts';
import { parseCount, parseScale } from '../values.ts';

/** 2 s: with images present an answer takes a fraction of that. */
const saySlowAfterMs = 2_000;

interface UpOptions {
  readonly scale?: readonly string[];
  readonly ignore?: readonly string[];
  readonly removeOrphans?: boolean;
  readonly wait: boolean;
  readonly waitTimeout?: string;
  readonly dryRun?: boolean;
  readonly forceRecreate?: boolean;
  readonly retryHook?: boolean;
  readonly deps: boolean;
  readonly pull?: string;
  readonly rollback: boolean;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'services to change, with all they depend on; default: all')
    .option('-d, --detach', 'accepted for compatibility: up never stays attached')
    .option('--scale <service=count>', 'number of replicas; may be repeated', collect)
    .option('--remove-orphans', 'remove services that the file no longer names')
    .option('--force-recreate', 'replace containers although nothing changed')
    .option('--retry-hook', 'run pre-deploy hooks again that failed or whose end is not known')
    .option('--no-rollback', 'pause when it fails, whatever failure_action says')
    .option('--no-deps', 'leave the services that the named ones depend on as they are')
    .option('--pull <policy>', 'always, missing or never: instead of pull_policy')
    .option('--quiet-pull', 'accepted for compatibility: pulls show no progress')
    .option('--wait', 'wait until all is ready', true)
    .option('--no-wait', 'return when the change is stored, before it is carried out')
    .option('--wait-timeout <seconds>', 'give up waiting after this time')
    .option('--dry-run', 'print what each machine would do, and change nothing')
    .option('--ignore <key>', 'go on although this key is not supported', collect);
  attach(command, (cli, services) => up(cli, services, command.opts<UpOptions>()));
};

async function up(cli: Cli, services: readonly string[], options: UpOptions): Promise<number> {
  const { stderr, stdout } = cli.io;
  const scale = parseScale(options.scale ?? []);
  const timeoutMs =
    options.waitTimeout === undefined
      ? undefined
      : parseCount('--wait-timeout', options.waitTimeout, 1) * 1000;
  const loaded = await loadFor(cli, services);
  const { project } = loaded;
  requireServices(project, [...services, ...Object.keys(scale)]);
  const selected = options.deps ? withDependencies(project, services) : services;
  const scope = { services: selected, ignored: options.ignore ?? [] };
  const supported = await refuseUnsupported(cli, loaded, scope);
  const withPolicy = withPullPolicy(supported, options.pull, selected);
  const { carriedOut } = await import('../../compose/index.ts');
  const withCaddyfiles = await readCaddyfiles(
    { ...loaded, project: carriedOut(withPolicy) },
    selected,
  );
  const binds = await carryBinds(
    cli,
    { ...loaded, project: withCaddyfiles },
    {
      services: selected,
      isDryRun: options.dryRun === true,
      loadUnresolved: async () => (await loadFor(cli, services, { isUnresolved: true })).project,
    },
  );
  const request = await makeRequest(
    cli,
    { ...loaded, project: binds.project },
    { ...options, scale, selected, relativeBinds: binds.relativeBinds },
  );

  const before = await cli.client.snapshot(cli.signal);
  if (!options.dryRun) await pushForUp(cli, request.project, selected, before);
  const answer = await accepted(cli, project.name, request).catch((error: unknown) => {
    throw withPlaceOfKey(error, loaded.positions);
  });
  sayAnswer(cli, answer);
  if (options.dryRun) {
    for (const line of dryRunLines(answer.steps, before, project.name)) say(stdout, line);
    return exitCode.ok;
  }
  if (!options.wait) return exitCode.ok;

  const followed = selected.length > 0 ? selected : Object.keys(project.services);
  const { code, snapshot } = await followRollout(cli, {
    project: project.name,
    services: followed,
    pointerHlc: answer.pointerHlc,
    ...(answer.change === undefined ? {} : { change: answer.change }),
    before,
    timeoutMs,
  });
  if (code === exitCode.ok) sayWhereItAnswers(cli, loaded, followed, snapshot);
  else if (code === exitCode.failed)
    say(stderr, `What was started is kept; see: tsc-compose ps -a`);
  return code;
}

/** @throws TscError E_USAGE_PULL */
function withPullPolicy(
  project: Project,
  policy: string | undefined,
  selected: readonly string[],
): Project {
  if (policy === undefined) return project;
  if (!['always', 'missing', 'never'].includes(policy)) {
    throw new TscError('E_USAGE_PULL', `--pull is always, missing or never, not "${policy}"`);
  }
  const services = Object.entries(project.services).map(([name, spec]) => [
    name,
    selected.length > 0 && !selected.includes(name) ? spec : { ...spec, pull_policy: policy },
  ]);
  return { ...project, services: Object.fromEntries(services) };
}

/** The agent may first have to pull an image: a silence that needs a word. */
async function accepted(cli: Cli, project: string, request: UpRequest): Promise<UpAnswer> {
  const timer = setTimeout(
    () => say(cli.io.stderr, 'making the images available…'),
    saySlowAfterMs,
  );
  try {
    return await cli.client.up(project, request, cli.signal);
  } catch (error) {
    if (cli.signal.aborted) {
      say(
        cli.io.stderr,
        'interrupted before the agent said that it took the change; see: tsc-compose ls',
      );
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

interface Wanted {
  readonly scale: Readonly<Record<string, number>>;
  readonly selected: readonly string[];
  readonly removeOrphans?: boolean;
  readonly dryRun?: boolean;
  readonly forceRecreate?: boolean;
  readonly retryHook?: boolean;
  readonly relativeBinds: readonly string[];
  readonly rollback: boolean;
}

async function makeRequest(cli: Cli, loaded: Loaded, wanted: Wanted): Promise<UpRequest> {
  const { project, workingDir, composeFiles, disabledServices } = loaded;
  const credentials = await credentialsFor(cli, imagesOf(project, wanted.selected));
  const user = cli.io.env.SUDO_USER || cli.io.env.USER || undefined;
  return {
    project,
    services: wanted.selected,
    disabledServices: Object.keys(disabledServices),
    scale: wanted.scale,
    removeOrphans: wanted.removeOrphans ?? isTrue(cli.io.env.COMPOSE_REMOVE_ORPHANS),
    isDryRun: wanted.dryRun ?? false,
    forceRecreate: wanted.forceRecreate ?? false,
    retryHook: wanted.retryHook ?? false,
    ...(wanted.rollback ? {} : { noRollback: true }),
    contents: await readContents(project, loaded),
    workingDir,
    composeFiles,
    relativeBinds: wanted.relativeBinds,
    ...(user === undefined ? {} : { user }),
    ...(Object.keys(credentials).length === 0 ? {} : { credentials }),
  };
}

function imagesOf(project: Project, services: readonly string[]): readonly string[] {
  return Object.entries(project.services).flatMap(([name, { image }]) =>
    image === undefined || (services.length > 0 && !services.includes(name)) ? [] : [image],
  );
}

function sayAnswer(cli: Cli, answer: UpAnswer): void {
  const { stderr } = cli.io;
  const paint = painter(cli, stderr);
  for (const note of answer.notes) say(stderr, `note: ${note}`);
  const { orphans } = answer;
  if (orphans.length > 0 && !isTrue(cli.io.env.COMPOSE_IGNORE_ORPHANS)) {
    const names = orphans.join(', ');
    say(
      stderr,
      paint('yellow', `Found orphan services that the file no longer names: ${names}.`) +
        ' They are kept; --remove-orphans removes them.',
    );
  }
  const { reachableCount, machineCount, storedOnCount } = answer;
  if (reachableCount < machineCount) {
    say(
      stderr,
      paint('yellow', `You see ${reachableCount} of ${count(machineCount, 'machine')}:`) +
        ' the change is carried out on these, and reaches the others when they are back.',
    );
  }
  if (answer.steps.length === 0 && machineCount > 1) {
    say(stderr, `Stored on ${storedOnCount} of ${count(machineCount, 'machine')}.`);
  }
}

function sayWhereItAnswers(
  cli: Cli,
  { project }: Loaded,
  services: readonly string[],
  snapshot: Snapshot,
): void {
  const replicas = snapshot.containers.filter(
    (c) => c.project === project.name && services.includes(c.service) && c.state === 'running',
  );
  const machines = new Set(replicas.map(({ machine }) => machine));
  say(
    cli.io.stderr,
    `${project.name}: ${count(services.length, 'service')} ready, ` +
      `${count(replicas.length, 'container')} on ${count(machines.size, 'machine')}.`,
  );
  for (const line of heldNotes(snapshot, project.name, services)) say(cli.io.stderr, line);
  for (const line of answersAt(project, services, snapshot)) say(cli.io.stdout, line);
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && /^(1|t|true|y|yes)$/i.test(value);
}
