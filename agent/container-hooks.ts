/**
 * `post_start` and `pre_stop` of a service: commands run inside its container, one after another. As
 * in `docker compose`, the first one that fails ends the matter: a container whose `post_start`
 * failed did not start; one whose `pre_stop` failed is stopped nevertheless, since it must go.
 */
import { TscError } from '../src/lib/errors.ts';
import type { Service } from '../src/model/project.ts';
import { flagAt, mapAt, objectsAt, textAt, textsAt } from '../src/render/container-read.ts';
import type { Engine } from './engine.ts';

/** 5 min: hooks warm caches and drain connections; longer work is a job. */
const hookTimeoutMs = 300_000;

/** Whether a container is not ready before its hooks have ended. */
export function hasPostStart(spec: Service): boolean {
  return objectsAt(spec, 'post_start').length > 0;
}

/** The `pre_stop` hooks that stand in a container's label; undefined when there is none. */
export function preStopIn(text: string | undefined): Service | undefined {
  if (text === undefined) return undefined;
  try {
    const hooks: unknown = JSON.parse(text);
    return Array.isArray(hooks) ? { pre_stop: hooks } : undefined;
  } catch {
    // Anybody on the machine can make a container with our labels.
    return undefined;
  }
}

/**
 * Runs the hooks of one kind.
 * @throws TscError E_HOOK_FAILED with the last lines of the command
 */
export async function runHooks(
  engine: Pick<Engine, 'exec'>,
  containerId: string,
  spec: Service,
  kind: 'post_start' | 'pre_stop',
): Promise<void> {
  for (const hook of objectsAt(spec, kind)) {
    const command = textsAt(hook, 'command') ?? [];
    const { exitCode, output } = await engine.exec(containerId, {
      command,
      user: textAt(hook, 'user'),
      workingDir: textAt(hook, 'working_dir'),
      environment: Object.entries(mapAt(hook, 'environment') ?? {}).map(([k, v]) => `${k}=${v}`),
      isPrivileged: flagAt(hook, 'privileged') === true,
      timeoutMs: hookTimeoutMs,
    });
    if (exitCode === 0) continue;
    throw new TscError(
      'E_HOOK_FAILED',
      `${kind} hook "${command.join(' ')}" exited with code ${exitCode}: ${output.join(' / ')}`,
    );
  }
}
