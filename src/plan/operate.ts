/**
 * `stop`, `start`, `restart`, `kill` and `rm`, as the accepting agent writes them down: one record a
 * service, which every machine carries out by its plan (operations.ts), one that is cut off when it
 * is back. Pure. An act replaces what an earlier one of the same service left to do, except that
 * its count (`scale`) and what has already happened stay.
 *
 * Which services an act concerns follows `docker compose`: `start` brings those along that the named
 * ones need, `restart` those that ask to be restarted with them (`depends_on: … restart: true`).
 */
import { TscError } from '../lib/errors.ts';
import type { OperateRequest } from '../model/api.ts';
import { type OperationAuthor, type OperationRecord, recordKey } from '../model/record.ts';
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { containersOfService } from '../view/endpoints.ts';
import { type OperationWrite, serviceOf, startOrder } from './accept.ts';
import { isAlive } from './leave.ts';

export interface AcceptedOperation {
  readonly writes: readonly OperationWrite[];
  readonly services: readonly string[];
  /** What is carried out later, and where. */
  readonly notes: readonly string[];
}

/** Signals after which a container is not meant to run on, as the engine sees it. */
const endingSignals: readonly string[] = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT'];

/** Signals of Linux by number, as `kill -l` lists them. */
const signalNames: readonly string[] =
  `HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP
   TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS`.split(/\s+/);

/**
 * Turns a request into records.
 * @param by who asks; undefined leaves it out
 * @throws TscError for projects and services that do not exist, and signals that do not
 */
export function acceptOperation(
  view: View,
  project: string,
  change: OperateRequest,
  nowMs: number,
  by?: Pick<OperationAuthor, 'machine' | 'user'>,
): AcceptedOperation {
  const found = view.projects.get(project);
  const named =
    change.services.length > 0 || found === undefined
      ? change.services
      : [...found.services.keys()];
  // Also for a project that is not there: the error names it.
  if (found?.pointer === undefined) serviceOf(view, project, '');
  const services = concerned(view, project, { ...change, services: named });
  const writes: OperationWrite[] = [];
  const touched: ServiceView[] = [];
  for (const service of services) {
    const orders = ordersOf(view, service, change, nowMs);
    if (orders === undefined) continue;
    touched.push(service);
    const author = by === undefined ? {} : { by: { ...by, atMs: nowMs, act: actText(change) } };
    const value = { ...kept(service), ...orders, ...author };
    writes.push({ key: recordKey.operation(project, service.name), value });
  }
  return {
    writes,
    services: touched.map(({ name }) => name),
    notes: awayNotes(view, touched, change),
  };
}

/** "SIGHUP" of "HUP", "hup", "sighup" or "1". @throws TscError E_USAGE_SIGNAL */
export function signalName(text: string): string {
  const bare = /^\d+$/.test(text)
    ? signalNames[Number(text) - 1]
    : text.toUpperCase().replace(/^SIG/, '');
  if (bare !== undefined && signalNames.includes(bare)) return `SIG${bare}`;
  throw new TscError('E_USAGE_SIGNAL', `"${text}" is no signal`, { hint: 'for example SIGHUP' });
}

/** What stays of an earlier operation: the count. */
function kept({ operation }: ServiceView): OperationRecord {
  const scale = operation?.scale;
  return scale === undefined ? {} : { scale };
}

/** The order for one service; undefined when there is nothing to do. */
function ordersOf(
  view: View,
  service: ServiceView,
  change: OperateRequest,
  nowMs: number,
): OperationRecord | undefined {
  const { graceMs, slot } = change;
  const grace = graceMs === undefined ? {} : { graceMs };
  const containers = containersOfService(view, service.project, service.name);
  switch (change.act) {
    case 'stop':
      return { stopped: true, ...grace };
    case 'start': {
      if (change.services.includes(service.name)) requireContainers(service, containers);
      const order = startOrder(view, service, nowMs);
      // What runs already is not disturbed.
      return order === undefined ? undefined : { stopped: false, ...order };
    }
    case 'restart':
      if (slot === undefined) return { stopped: false, restartAtMs: nowMs, ...grace };
      requireSlot(service, slot, containers);
      return {
        ...standing(service),
        restarts: { ...service.operation?.restarts, [slot]: nowMs },
        ...grace,
      };
    case 'kill':
      return killOrder(service, change, nowMs, containers);
    case 'remove':
      return removeOrder(service, change, nowMs, containers);
  }
}

/** What an order for some containers of a service leaves as it is. */
function standing({ operation }: ServiceView): OperationRecord {
  const { stopped, restartAtMs, startAtMs } = operation ?? {};
  return {
    ...(stopped === undefined ? {} : { stopped }),
    ...(restartAtMs === undefined ? {} : { restartAtMs }),
    ...(startAtMs === undefined ? {} : { startAtMs }),
  };
}

function killOrder(
  service: ServiceView,
  { signal: text = 'SIGKILL', slot }: OperateRequest,
  nowMs: number,
  containers: readonly ContainerView[],
): OperationRecord | undefined {
  const signal = signalName(text);
  if (!containers.some(isAlive)) return undefined;
  if (slot !== undefined) requireSlot(service, slot, containers);
  const isEnd =
    endingSignals.includes(signal) || signal === signalNameOr(service.spec.stop_signal, 'SIGTERM');
  const kill = { signal, atMs: nowMs, ...(slot === undefined ? {} : { slots: [slot] }) };
  // One replica of several is the restart policy's business, as if it had ended by itself.
  return isEnd && slot === undefined
    ? { stopped: true, kill }
    : { ...standing(service), ...restartsOf(service), kill };
}

function restartsOf({ operation }: ServiceView): OperationRecord {
  return operation?.restarts === undefined ? {} : { restarts: operation.restarts };
}

function signalNameOr(text: string | undefined, fallback: string): string {
  try {
    return text === undefined ? fallback : signalName(text);
  } catch {
    return fallback;
  }
}

/** Of a service of which nothing runs, nothing is started again for having been removed. */
function removeOrder(
  service: ServiceView,
  { stopsFirst = false, withVolumes = false }: OperateRequest,
  nowMs: number,
  containers: readonly ContainerView[],
): OperationRecord | undefined {
  const order = { removeAtMs: nowMs, ...(withVolumes ? { removeVolumes: true } : {}) };
  if (containers.length === 0) return undefined;
  if (stopsFirst || service.isStopped || !containers.some(isAlive)) {
    return { stopped: true, ...order };
  }
  if (containers.every(isAlive)) return undefined;
  return { ...standing(service), ...restartsOf(service), ...order };
}

function concerned(view: View, project: string, change: OperateRequest): readonly ServiceView[] {
  const names = new Set<string>();
  const queue = [...change.services];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (names.has(name)) continue;
    const { spec } = serviceOf(view, project, name);
    names.add(name);
    const services = view.projects.get(project)?.services;
    if (change.act === 'start') {
      queue.push(...Object.keys(spec.depends_on ?? {}).filter((key) => services?.has(key)));
    }
    if (change.act !== 'restart' || change.withoutDependents === true) continue;
    for (const other of services?.values() ?? []) {
      // One that is stopped is not started for it.
      const isDependent = other.spec.depends_on?.[name]?.restart === true && !other.isStopped;
      if (isDependent) queue.push(other.name);
    }
  }
  return [...names].map((name) => serviceOf(view, project, name));
}

function requireContainers(service: ServiceView, containers: readonly ContainerView[]): void {
  if (containers.length > 0 || service.replicaCount === 0) return;
  throw new TscError(
    'E_SERVICE_NO_CONTAINER',
    `service "${service.name}" has no container to start`,
    { hint: `create it with: tsc-compose -p ${service.project} up ${service.name}` },
  );
}

function requireSlot(
  service: ServiceView,
  slot: string,
  containers: readonly ContainerView[],
): void {
  if (containers.some((container) => container.slot === slot)) return;
  throw new TscError(
    'E_SERVICE_NOT_RUNNING',
    `service "${service.name}" has no replica ${slot} in project "${service.project}"`,
    { hint: 'see `tsc-compose ps -a`' },
  );
}

/** For `why`: "kill -s SIGHUP", "rm". */
function actText({ act, signal, slot }: OperateRequest): string {
  const which = slot === undefined ? '' : ` --index ${slot}`;
  if (act === 'kill') return `kill -s ${signal ?? 'SIGKILL'}${which}`;
  return act === 'remove' ? 'rm' : `${act}${which}`;
}

/** Containers on machines that do not hear of it now. */
function awayNotes(
  view: View,
  services: readonly ServiceView[],
  { act }: OperateRequest,
): readonly string[] {
  if (act === 'start') return [];
  const names = new Set<string>();
  for (const service of services) {
    for (const { machine } of containersOfService(view, service.project, service.name)) {
      const found = view.machines.get(machine);
      if (found !== undefined && found.liveness !== 'reachable') {
        names.add(`${found.name} is ${found.liveness}: what it runs follows when it is back`);
      }
    }
  }
  return [...names].sort();
}
