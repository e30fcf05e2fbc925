/** `why`: explains a service, or one replica of it, as the agents decide about it. */
import { TscError } from '../../lib/errors.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { WhyRequest } from '../../model/why.ts';
import type { CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode, say } from '../cli.ts';
import { projectName } from '../load.ts';
import { shortName } from '../rollout-lines.ts';
import { parseFormat } from '../values.ts';
import { whyLines } from '../why-lines.ts';

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('<service|container>', 'a service, or the name or id of a container')
    .option('--format <format>', 'table, or json: one object');
  attach(command, async (cli, [name = '']) => {
    const format = parseFormat(command.opts<{ format?: string }>().format);
    const project = await projectName(cli);
    const snapshot = await cli.client.snapshot(cli.signal);
    const { project: of, ...request } = subjectOf(snapshot, project, name);
    const answer = await cli.client.why(of, request, cli.signal);
    if (format === 'json') say(cli.io.stdout, JSON.stringify(answer));
    else for (const line of whyLines(answer, snapshot)) say(cli.io.stdout, line);
    return exitCode.ok;
  });
};

/**
 * A service of the project comes first; a container may be of any project.
 * @throws TscError E_SERVICE_UNKNOWN
 */
export function subjectOf(
  snapshot: Snapshot,
  project: string,
  name: string,
): WhyRequest & { readonly project: string } {
  const found = snapshot.projects.find((candidate) => candidate.name === project);
  if (found?.services.some((service) => service.name === name)) return { project, service: name };
  const isId = /^[0-9a-f]{4,64}$/.test(name);
  const container =
    snapshot.containers.find((candidate) => candidate.name === name) ??
    snapshot.containers.find(
      (candidate) =>
        (isId && candidate.id.startsWith(name)) ||
        (candidate.project === project && shortName(candidate.name, project) === name),
    );
  if (container !== undefined) {
    const { project: of, service, slot } = container;
    return { project: of, service, slot };
  }
  const names = (found?.services ?? []).map((service) => service.name).join(', ');
  throw new TscError('E_SERVICE_UNKNOWN', `no such service or container: ${name}`, {
    hint: names === '' ? `project ${project} is not running` : `the project has: ${names}`,
  });
}
