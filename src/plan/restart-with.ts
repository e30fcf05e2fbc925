/**
 * `depends_on: … restart: true` when a change replaces the containers of a service: those that ask
 * for it are restarted afterwards (operations.ts waits for the new containers), unless the change
 * replaces them as well. Pure.
 */
import type { Service } from '../model/project.ts';
import { type PointerService, recordKey } from '../model/record.ts';
import type { ProjectView } from '../model/view.ts';
import type { OperationWrite } from './accept.ts';

export interface RestartInput {
  readonly before: ProjectView | undefined;
  readonly services: Readonly<Record<string, PointerService>>;
  /** Definitions of the change; services that it leaves alone keep theirs. */
  readonly specs: Readonly<Record<string, Service>>;
  readonly nowMs: number;
}

/** The operations with the restarts that the change brings about. */
export function withRestarts(
  input: RestartInput,
  writes: readonly OperationWrite[],
): readonly OperationWrite[] {
  const { before, nowMs } = input;
  const result = new Map(writes.map((write) => [write.key, write]));
  for (const name of dependentsToRestart(input)) {
    const key = recordKey.operation(before?.name ?? '', name);
    const value = { ...result.get(key)?.value, restartAtMs: nowMs };
    result.set(key, { key, value });
  }
  return [...result.values()];
}

function dependentsToRestart({ before, services, specs }: RestartInput): readonly string[] {
  const kept = [...(before?.services.values() ?? [])].filter(
    ({ name, hash, isStopped }) => services[name]?.hash === hash && !isStopped,
  );
  const moved = new Set(
    [...(before?.services.values() ?? [])]
      .filter(({ name, hash }) => services[name] !== undefined && services[name]?.hash !== hash)
      .map(({ name }) => name),
  );
  const found = new Set<string>();
  // What is restarted takes its own dependents along.
  for (let size = -1; size < found.size; ) {
    size = found.size;
    for (const { name, spec: old } of kept) {
      const needs = Object.entries((specs[name] ?? old).depends_on ?? {});
      const isHit = needs.some(
        ([need, { restart }]) => restart === true && (moved.has(need) || found.has(need)),
      );
      if (isHit) found.add(name);
    }
  }
  return [...found];
}
