/**
 * Hand-written checks of record bodies. Bodies come from other machines, perhaps of another
 * version, so nothing of their shape is believed before it passed here. Unknown fields are left
 * alone; a body that misses a needed field is skipped as a whole, never half used.
 */

import type { Dependency, Deploy, Mount, Port, Project, Service } from '../model/project.ts';
import type {
  Admission,
  CaddySite,
  CaddySites,
  ClaimRecord,
  ConflictRecord,
  ContainerCause,
  ContainerRecord,
  CredentialsRecord,
  DoneRecord,
  FailureRecord,
  HistoryRecord,
  HistoryService,
  HookRecord,
  LinksRecord,
  LostChange,
  MachineOptionsRecord,
  MachineRecord,
  MachineVersions,
  OperationAuthor,
  OperationRecord,
  PathPlaces,
  PointerRecord,
  PointerService,
  PointerTombstone,
  ResolvedImage,
  RevisionRecord,
  SignalOrder,
  SlotClaim,
  SlotFailure,
  SlotMove,
  VerdictFailure,
  VerdictRecord,
} from '../model/record.ts';

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string';
const isName: Check = (value) => typeof value === 'string' && value !== '';
const isFlag: Check = (value) => typeof value === 'boolean';
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function optional(check: Check): Check {
  return (value) => value === undefined || value === null || check(value);
}

function nullable(check: Check): Check {
  return (value) => value === null || check(value);
}

function oneOf(...allowed: readonly unknown[]): Check {
  return (value) => allowed.includes(value);
}

function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function mapOf(check: Check): Check {
  return (value) => isObject(value) && Object.values(value).every(check);
}

/** Names a check for every field of T that is looked at, so that a renamed field is noticed here. */
function shape<T>(checks: { readonly [K in keyof T]?: Check }): (value: unknown) => value is T {
  const list = Object.entries<Check | undefined>(checks);
  return (value): value is T =>
    isObject(value) && list.every(([name, check]) => check === undefined || check(value[name]));
}

/**
 * The shape of a record's whole body. A body never changes, and the store gives the same object as
 * long as the record stands, so each is looked at once and not again at every view.
 */
function body<T>(checks: { readonly [K in keyof T]?: Check }): (value: unknown) => value is T {
  const isShape = shape<T>(checks);
  const known = new WeakSet();
  return (value): value is T => {
    if (!isObject(value)) return false;
    if (known.has(value)) return true;
    const isValid = isShape(value);
    if (isValid) known.add(value);
    return isValid;
  };
}

const isVersions = shape<MachineVersions>({
  agent: isText,
  engine: isText,
  protocol: isNumber,
  plan: isNumber,
});

const isAdmission = shape<Admission>({
  cluster: isName,
  machine: isName,
  publicKey: isName,
  wgPublicKey: isName,
  subnet: (value) => typeof value === 'string' && firstAddress(value) !== undefined,
  range: isName,
  admittedBy: isName,
  hlc: isCount,
  signature: isText,
});

export const isMachineRecord = body<MachineRecord>({
  name: isName,
  publicKey: isName,
  wgPublicKey: isName,
  endpoints: listOf(isText),
  platform: isText,
  cpuCount: isNumber,
  memoryBytes: isNumber,
  versions: isVersions,
  engineLabels: optional(mapOf(isText)),
  resources: optional(mapOf(isNumber)),
  bootedAtMs: optional(isNumber),
  admission: isAdmission,
});

export const isMachineOptions = body<MachineOptionsRecord>({
  name: optional(isName),
  labels: optional(mapOf(isText)),
  drain: optional(isFlag),
  publish: optional(isFlag),
  ingress: optional(isFlag),
  weight: optional((value) => isNumber(value) && Number(value) > 0),
  resources: optional(mapOf(isNumber)),
});

export const isLinks = body<LinksRecord>({
  able: isFlag,
  up: listOf(shape<LinksRecord['up'][number]>({ machine: isName, sinceMs: isNumber })),
});

const isPort = shape<Port>({
  target: isNumber,
  mode: optional(isText),
  published: optional(isText),
  protocol: optional(isText),
  host_ip: optional(isText),
});

const isMount = shape<Mount>({ type: isName, target: isText, source: optional(isText) });

const isDeploy = shape<Deploy>({
  mode: optional(isText),
  replicas: optional(isCount),
  update_config: optional(isObject),
  restart_policy: optional(isObject),
});

const isService = shape<Service>({
  image: optional(isText),
  depends_on: optional(
    mapOf(
      shape<Dependency>({
        condition: oneOf('service_started', 'service_healthy', 'service_completed_successfully'),
      }),
    ),
  ),
  healthcheck: optional(isObject),
  ports: optional(listOf(isPort)),
  expose: optional(listOf(isText)),
  volumes: optional(listOf(isMount)),
  secrets: optional(listOf(isObject)),
  configs: optional(listOf(isObject)),
  restart: optional(isText),
  scale: optional(isCount),
  container_name: optional(isText),
  network_mode: optional(isText),
  platform: optional(isText),
  deploy: optional(isDeploy),
});

const isProject = shape<Project>({
  name: isName,
  services: mapOf(isService),
  networks: optional(mapOf(nullable(isObject))),
  volumes: optional(mapOf(nullable(isObject))),
  secrets: optional(mapOf(isObject)),
  configs: optional(mapOf(isObject)),
});

export const isRevision = body<RevisionRecord>({
  project: isProject,
  hashes: mapOf(isName),
  images: mapOf(
    shape<ResolvedImage>({
      reference: isText,
      ids: mapOf(isText),
      digests: optional(mapOf(isText)),
    }),
  ),
  contents: mapOf(isText),
  workingDir: isText,
  composeFiles: listOf(isText),
  caddy: optional(
    mapOf(
      shape<CaddySites>({
        sites: listOf(
          shape<CaddySite>({ port: isCount, isSecure: isFlag, routes: listOf(isObject) }),
        ),
        policies: listOf(isObject),
      }),
    ),
  ),
});

export const isPointer = body<PointerRecord>({
  services: mapOf(
    shape<PointerService>({
      revision: isName,
      hash: isName,
      rollout: isName,
      slots: mapOf(isName),
      pinned: optional(isName),
      hook: optional(shape<NonNullable<PointerService['hook']>>({ machine: isName, run: isName })),
      paths: optional(
        shape<PathPlaces>({ on: optional(listOf(isName)), notOn: optional(listOf(isName)) }),
      ),
      lastGoodRevision: optional(isName),
      lastGoodHash: optional(isName),
      isRollback: optional(isFlag),
      noRollback: optional(isFlag),
      away: optional(listOf(isName)),
    }),
  ),
  createdMs: isNumber,
  parent: nullable(isNumber),
  author: isObject,
  volumes: mapOf(isName),
  orphans: listOf(isName),
  ancestors: optional(listOf(isName)),
  revision: optional(isName),
  act: optional(isText),
});

export const isTombstone = body<PointerTombstone>({
  removed: oneOf(true),
  createdMs: isNumber,
  author: isObject,
  deleteVolumes: listOf(isName),
  volumes: optional(mapOf(isName)),
  ownVolumes: optional(listOf(isName)),
  ancestors: optional(listOf(isName)),
});

const isAuthor = shape<PointerRecord['author']>({ machine: isName, user: optional(isText) });

export const isConflict = body<ConflictRecord>({
  lost: listOf(
    shape<LostChange>({
      id: isName,
      author: isAuthor,
      atMs: isNumber,
      isDown: isFlag,
      workingDir: isText,
      winner: isAuthor,
      volumes: mapOf(isName),
    }),
  ),
});

export const isOperation = body<OperationRecord>({
  scale: optional(isCount),
  stopped: optional(isFlag),
  restartAtMs: optional(isNumber),
  restarts: optional(mapOf(isNumber)),
  startAtMs: optional(isNumber),
  graceMs: optional(isCount),
  kill: optional(
    shape<SignalOrder>({ signal: isName, atMs: isNumber, slots: optional(listOf(isName)) }),
  ),
  removeAtMs: optional(isNumber),
  removeVolumes: optional(isFlag),
  by: optional(
    shape<OperationAuthor>({
      machine: isName,
      user: optional(isText),
      atMs: isNumber,
      act: isText,
    }),
  ),
  slots: optional(mapOf(isName)),
  moves: optional(mapOf(shape<SlotMove>({ container: isName, to: isName }))),
  movedAtMs: optional(isNumber),
});

export const isClaim = body<ClaimRecord>({
  slots: listOf(
    shape<SlotClaim>({ project: isName, service: isName, slot: isName, atMs: isNumber }),
  ),
});

export const isCredentials = body<CredentialsRecord>({ registries: mapOf(mapOf(isText)) });

export const isContainer = body<ContainerRecord>({
  name: isText,
  project: isName,
  service: isName,
  slot: isName,
  hash: isText,
  rollout: isText,
  image: isText,
  state: oneOf('created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'),
  health: oneOf('none', 'starting', 'healthy', 'unhealthy'),
  ready: isFlag,
  draining: isFlag,
  ip: isText,
  createdMs: isNumber,
  startedMs: isNumber,
  finishedMs: isNumber,
  exitCode: isNumber,
  restarts: isNumber,
  aliases: listOf(isText),
  networks: mapOf(listOf(isText)),
  hook: optional(isName),
  cause: optional(shape<ContainerCause>({ what: isText, why: isText, atMs: isNumber })),
  signalMs: optional(isNumber),
});

export const isHook = body<HookRecord>({
  run: isName,
  machine: isName,
  state: oneOf('started', 'done', 'failed'),
  containerId: isText,
  startedMs: isNumber,
  endedMs: isNumber,
  exitCode: nullable(isNumber),
  why: isText,
  lastLines: listOf(isText),
});

const slotFailure = {
  slot: isName,
  why: isText,
  exitCode: nullable(isNumber),
  lastLines: listOf(isText),
  atMs: isNumber,
  hook: optional(isName),
} as const;

export const isFailure = body<FailureRecord>({
  ...slotFailure,
  rollout: isName,
  more: optional(listOf(shape<SlotFailure>(slotFailure))),
});

export const isVerdict = body<VerdictRecord>({
  result: oneOf('good', 'paused', 'rolled-back'),
  atMs: isNumber,
  revision: optional(isName),
  hash: optional(isName),
  failure: optional(shape<VerdictFailure>({ ...slotFailure, machine: isName })),
});

export const isDoneRecord = body<DoneRecord>({ machine: isName, atMs: isNumber });

export const isHistory = body<HistoryRecord>({
  pointerHlc: isNumber,
  atMs: isNumber,
  author: isAuthor,
  act: oneOf('up', 'rollback'),
  revision: isName,
  services: mapOf(shape<HistoryService>({ revision: isName, hash: isName, rollout: isName })),
});

/** "10.210.3.1" of "10.210.3.0/24"; undefined when the text is no IPv4 network. */
export function firstAddress(subnet: string): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(subnet);
  if (match === null) return undefined;
  const bytes = match.slice(1, 5).map(Number);
  const bits = Number(match[5]);
  if (bits > 30 || bytes.some((byte) => byte > 255)) return undefined;
  return [...bytes.slice(0, 3), (bytes[3] ?? 0) + 1].join('.');
}
