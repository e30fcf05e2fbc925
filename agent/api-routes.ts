/**
 * The routes of the agent's API and the guards of their requests. The same table serves the unix
 * socket (trusted: whoever may open it may do anything) and other members over RPC, who get only
 * what `isForPeers` marks. A guard checks shapes, never meaning: meaning belongs to the acceptor.
 */
import { TscError } from '../src/lib/errors.ts';
import type {
  ArrivedAnswer,
  ChangeAnswer,
  DefinitionAnswer,
  DownRequest,
  FactsAnswer,
  HereAnswer,
  HereRequest,
  HistoryAnswer,
  InfoAnswer,
  InitRequest,
  JoinRequest,
  MachineOptionsRequest,
  OperateAnswer,
  OperateRequest,
  RebalanceAnswer,
  RebalanceRequest,
  RegistryCredentials,
  RemoveMachineAnswer,
  RemoveMachineRequest,
  RollbackRequest,
  ScaleRequest,
  TokenAnswer,
  UpAnswer,
  UpRequest,
  VolumeAnswer,
  VolumeRequest,
} from '../src/model/api.ts';
import type { GossipStatus } from '../src/model/links.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { WhyAnswer, WhyRequest } from '../src/model/why.ts';
import type { RecordVersion } from './applied.ts';
import { type BarrierAnswer, readBarrier } from './barrier.ts';

/** What changes projects; agent/accept.ts. */
export interface ProjectChanges {
  up(project: string, request: UpRequest, signal: AbortSignal): Promise<UpAnswer>;
  down(project: string, request: DownRequest): Promise<ChangeAnswer>;
  scale(project: string, request: ScaleRequest): Promise<ChangeAnswer>;
  operate(project: string, request: OperateRequest): Promise<OperateAnswer>;
  rollback(project: string, request: RollbackRequest): Promise<UpAnswer>;
  history(project: string): HistoryAnswer;
  definition(project: string): DefinitionAnswer;
}

/** What gives data another home; agent/volume-moves.ts. */
export interface VolumeChanges {
  moveVolume(volume: string, request: VolumeRequest, signal: AbortSignal): Promise<VolumeAnswer>;
  abandonVolume(volume: string, request: VolumeRequest): Promise<VolumeAnswer>;
}

/** What operators change about machines; agent/accept-machines.ts. */
export interface MachineChanges {
  setOptions(machine: string, request: MachineOptionsRequest): Promise<ChangeAnswer>;
  removeMachine(machine: string, request: RemoveMachineRequest): Promise<RemoveMachineAnswer>;
  rebalance(request: RebalanceRequest): Promise<RebalanceAnswer>;
}

/** What changes who belongs to the cluster. */
export interface ClusterChanges {
  init(request: InitRequest): Promise<InfoAnswer>;
  token(): Promise<TokenAnswer>;
  join(request: JoinRequest): Promise<InfoAnswer>;
}

export interface RouteComponents {
  readonly info: () => InfoAnswer;
  /** @throws TscError E_CLUSTER_NONE while this machine belongs to no cluster */
  readonly snapshot: () => Snapshot;
  /** @throws TscError E_CLUSTER_NONE while this machine belongs to no cluster */
  readonly gossipStatus: () => GossipStatus;
  /** @throws TscError E_CLUSTER_NONE, E_SERVICE_UNKNOWN */
  readonly why: (project: string, request: WhyRequest) => WhyAnswer;
  /** Undefined while this machine belongs to no cluster. */
  readonly projects: () => ProjectChanges | undefined;
  /** As `projects`. */
  readonly volumes: () => VolumeChanges | undefined;
  readonly machines: () => MachineChanges | undefined;
  readonly cluster: ClusterChanges;
  readonly machineFacts: MachineQuestions;
  /** Whether DNS, firewall and ingress here act on the records; waits for them for a while. */
  readonly applied: (records: readonly RecordVersion[]) => Promise<boolean>;
  /** Waits until every machine does for a project's containers; names those that do not say so. */
  readonly arrived: (project: string) => Promise<readonly string[]>;
}

/** What this machine is asked about itself; agent/machine-facts.ts. */
export interface MachineQuestions {
  isHere(request: HereRequest): Promise<HereAnswer>;
  read(paths: readonly string[]): Promise<FactsAnswer>;
}

export interface RouteCall {
  readonly parameters: readonly string[];
  readonly body: unknown;
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly pattern: RegExp;
  readonly isForPeers: boolean;
  readonly handle: (call: RouteCall) => unknown;
}

/** @returns the routes that answer with JSON; watch and Docker are streams and live in api.ts */
export function jsonRoutes(components: RouteComponents): readonly Route[] {
  const projects = (): ProjectChanges => {
    const changes = components.projects();
    if (changes === undefined) throw noCluster();
    return changes;
  };
  const volumes = (): VolumeChanges => {
    const changes = components.volumes();
    if (changes === undefined) throw noCluster();
    return changes;
  };
  const machines = (): MachineChanges => {
    const changes = components.machines();
    if (changes === undefined) throw noCluster();
    return changes;
  };
  return [
    {
      method: 'POST',
      pattern: /^\/v1\/volumes\/([^/]+)\/move$/,
      isForPeers: false,
      handle: ({ parameters: [volume = ''], body, signal }) =>
        volumes().moveVolume(volume, volumeRequest(body), signal),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/volumes\/([^/]+)\/abandon$/,
      isForPeers: false,
      handle: ({ parameters: [volume = ''], body }) =>
        volumes().abandonVolume(volume, volumeRequest(body)),
    },
    { method: 'GET', pattern: /^\/v1\/info$/, isForPeers: true, handle: () => components.info() },
    {
      method: 'GET',
      pattern: /^\/v1\/snapshot$/,
      isForPeers: true,
      handle: () => components.snapshot(),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/why$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''], body }) =>
        components.why(projectName(project), whyRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/up$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''], body, signal }) =>
        projects().up(projectName(project), upRequest(project, body), signal),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/down$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''], body }) =>
        projects().down(projectName(project), downRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/scale$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''], body }) =>
        projects().scale(projectName(project), scaleRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/here$/,
      isForPeers: false,
      handle: ({ body }) => components.machineFacts.isHere(hereRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/facts$/,
      isForPeers: true,
      handle: ({ body }) => components.machineFacts.read(strings(fieldsOf(body), 'paths')),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/barrier$/,
      isForPeers: true,
      handle: async ({ body }): Promise<BarrierAnswer> => ({
        isApplied: await components.applied(readBarrier(body)),
      }),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/arrived$/,
      isForPeers: false,
      handle: async ({ parameters: [project = ''] }): Promise<ArrivedAnswer> => ({
        missing: await components.arrived(projectName(project)),
      }),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/operate$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''], body }) =>
        projects().operate(projectName(project), operateRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/projects\/([^/]+)\/rollback$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''], body }) =>
        projects().rollback(projectName(project), rollbackRequest(body)),
    },
    {
      method: 'GET',
      pattern: /^\/v1\/projects\/([^/]+)\/history$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''] }) => projects().history(projectName(project)),
    },
    {
      method: 'GET',
      pattern: /^\/v1\/projects\/([^/]+)\/definition$/,
      isForPeers: false,
      handle: ({ parameters: [project = ''] }) => projects().definition(projectName(project)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/machines\/([^/]+)\/options$/,
      isForPeers: false,
      handle: ({ parameters: [machine = ''], body }) =>
        machines().setOptions(machine, machineOptionsRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/machines\/([^/]+)\/remove$/,
      isForPeers: false,
      handle: ({ parameters: [machine = ''], body }) =>
        machines().removeMachine(machine, { force: flag(fieldsOf(body), 'force') }),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/rebalance$/,
      isForPeers: false,
      handle: ({ body }) => machines().rebalance(rebalanceRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/cluster\/init$/,
      isForPeers: false,
      handle: ({ body }) => components.cluster.init(initRequest(body)),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/cluster\/token$/,
      isForPeers: false,
      handle: () => components.cluster.token(),
    },
    {
      method: 'POST',
      pattern: /^\/v1\/cluster\/join$/,
      isForPeers: false,
      handle: ({ body }) => components.cluster.join(joinRequest(body)),
    },
  ];
}

/** What every call that needs a cluster says on a machine that has none. */
export function noCluster(): TscError {
  return new TscError('E_CLUSTER_NONE', 'this machine belongs to no cluster yet', {
    hint: 'run `tsc-compose machine init` here, or `tsc-compose machine join TOKEN`',
  });
}

/** The HTTP status of an error's code; the client only looks at the code. */
export function statusOf(code: string): number {
  if (code === 'E_INTERNAL') return 500;
  if (code === 'E_REQUEST_FORBIDDEN') return 403;
  if (/_(NOT_FOUND|NONE|UNKNOWN)$/.test(code)) return 404;
  if (code.endsWith('_UNREACHABLE')) return 502;
  if (/^E_REQUEST|_SYNTAX$|_INVALID$|^E_TOKEN/.test(code)) return 400;
  return 409;
}

type Fields = { readonly [key: string]: unknown };

function fieldsOf(body: unknown): Fields {
  if (isFields(body)) return body;
  throw bad('the body must be a JSON object');
}

function projectName(name: string): string {
  if (/^[a-z0-9][a-z0-9_-]*$/.test(name)) return name;
  throw bad(
    `"${name}" is no project name: lower-case letters, digits, - and _, the first a letter or digit`,
  );
}

function upRequest(name: string, body: unknown): UpRequest {
  const fields = fieldsOf(body);
  const { project, user } = fields;
  if (!isFields(project) || !isFields(project.services) || typeof project.name !== 'string') {
    throw bad('"project" must be a Compose project with a name and services');
  }
  for (const [service, definition] of Object.entries(project.services)) {
    if (!isFields(definition)) throw bad(`"project.services.${service}" must be an object`);
  }
  if (project.name !== name) {
    throw bad(`the project is named "${project.name}", the request was for "${name}"`);
  }
  return {
    // By the compiler's rules these fields are no Project: the loader has checked it against the
    // Compose schema, and what everything below relies on was looked at above.
    project: project as unknown as UpRequest['project'],
    services: strings(fields, 'services'),
    disabledServices:
      fields.disabledServices === undefined ? [] : strings(fields, 'disabledServices'),
    scale: counts(fields, 'scale'),
    removeOrphans: flag(fields, 'removeOrphans'),
    isDryRun: flag(fields, 'isDryRun'),
    forceRecreate: flag(fields, 'forceRecreate'),
    retryHook: fields.retryHook === true,
    ...(fields.noRollback === true ? { noRollback: true } : {}),
    contents: texts(fields, 'contents'),
    workingDir: text(fields, 'workingDir'),
    composeFiles: strings(fields, 'composeFiles'),
    ...(typeof user === 'string' ? { user } : {}),
    ...(fields.relativeBinds === undefined
      ? {}
      : { relativeBinds: strings(fields, 'relativeBinds') }),
    ...(fields.credentials === undefined ? {} : { credentials: credentials(fields) }),
  };
}

function volumeRequest(body: unknown): VolumeRequest {
  const { machine, user } = fieldsOf(body);
  return {
    ...(typeof machine === 'string' ? { machine } : {}),
    ...(typeof user === 'string' ? { user } : {}),
  };
}

function hereRequest(body: unknown): HereRequest {
  const fields = fieldsOf(body);
  const { token } = fields;
  return {
    folder: text(fields, 'folder'),
    identity: text(fields, 'identity'),
    ...(typeof token === 'string' ? { token } : {}),
  };
}

function credentials(fields: Fields): Readonly<Record<string, RegistryCredentials>> {
  const entries = Object.entries(fieldsOf(fields.credentials));
  return Object.fromEntries(
    entries.map(([registry, value]) => {
      const { identityToken, ...named } = fieldsOf(value);
      const given = { username: text(named, 'username'), password: text(named, 'password') };
      const hasToken = typeof identityToken === 'string';
      return [registry, { ...given, ...(hasToken ? { identityToken } : {}) }];
    }),
  );
}

function downRequest(body: unknown): DownRequest {
  const fields = fieldsOf(body);
  const { user } = fields;
  return { volumes: flag(fields, 'volumes'), ...(typeof user === 'string' ? { user } : {}) };
}

function rollbackRequest(body: unknown): RollbackRequest {
  const fields = fieldsOf(body);
  const { to, user } = fields;
  if (to !== undefined && typeof to !== 'string') throw bad('"to" must be a string');
  return {
    isDryRun: flag(fields, 'isDryRun'),
    ...(to === undefined ? {} : { to }),
    ...(typeof user === 'string' ? { user } : {}),
  };
}

function scaleRequest(body: unknown): ScaleRequest {
  const scale = counts(fieldsOf(body), 'scale');
  if (Object.keys(scale).length === 0) throw bad('"scale" names no service');
  return { scale };
}

const operationNames: readonly OperateRequest['act'][] = [
  'stop',
  'start',
  'restart',
  'kill',
  'remove',
];

function operateRequest(body: unknown): OperateRequest {
  const fields = fieldsOf(body);
  const act = operationNames.find((name) => name === fields.act);
  if (act === undefined) throw bad(`"act" must be one of ${operationNames.join(', ')}`);
  const { graceMs, signal, slot, user } = fields;
  const isGrace = typeof graceMs === 'number' && Number.isSafeInteger(graceMs) && graceMs >= 0;
  if (graceMs !== undefined && !isGrace) throw bad('"graceMs" must be a whole number, 0 or more');
  return {
    act,
    services: strings(fields, 'services'),
    ...(isGrace ? { graceMs } : {}),
    ...(typeof signal === 'string' ? { signal } : {}),
    ...(typeof slot === 'string' ? { slot } : {}),
    ...(typeof user === 'string' ? { user } : {}),
    withoutDependents: fields.withoutDependents === true,
    stopsFirst: fields.stopsFirst === true,
    withVolumes: fields.withVolumes === true,
  };
}

function whyRequest(body: unknown): WhyRequest {
  const fields = fieldsOf(body);
  const { slot } = fields;
  return {
    service: text(fields, 'service'),
    ...(typeof slot === 'string' ? { slot } : {}),
  };
}

function machineOptionsRequest(body: unknown): MachineOptionsRequest {
  const { drain, weight, labels, resources } = fieldsOf(body);
  if (drain !== undefined && typeof drain !== 'boolean') throw bad('"drain" must be true or false');
  return {
    ...(drain === undefined ? {} : { drain }),
    ...(weight === undefined ? {} : { weight: weight === null ? null : finite('weight', weight) }),
    ...(labels === undefined
      ? {}
      : {
          labels: orNull('labels', labels, (name, value) => {
            if (typeof value === 'string') return value;
            throw bad(`"${name}" must be a string or null`);
          }),
        }),
    ...(resources === undefined ? {} : { resources: orNull('resources', resources, finite) }),
  };
}

function rebalanceRequest(body: unknown): RebalanceRequest {
  const fields = fieldsOf(body);
  return { projects: strings(fields, 'projects'), isDryRun: fields.isDryRun === true };
}

function finite(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw bad(`"${name}" must be a number, 0 or more`);
}

function orNull<T>(
  key: string,
  given: unknown,
  read: (name: string, value: unknown) => T,
): Readonly<Record<string, T | null>> {
  return Object.fromEntries(
    Object.entries(fieldsOf(given)).map(([name, value]) => [
      name,
      value === null ? null : read(`${key}.${name}`, value),
    ]),
  );
}

function initRequest(body: unknown): InitRequest {
  const fields = fieldsOf(body);
  const { range } = fields;
  if (range !== undefined && typeof range !== 'string') throw bad('"range" must be a string');
  return { endpoints: strings(fields, 'endpoints'), ...(range === undefined ? {} : { range }) };
}

function joinRequest(body: unknown): JoinRequest {
  const fields = fieldsOf(body);
  return { token: text(fields, 'token'), endpoints: strings(fields, 'endpoints') };
}

function text(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value === 'string') return value;
  throw bad(`"${key}" must be a string`);
}

function flag(fields: Fields, key: string): boolean {
  const value = fields[key];
  if (typeof value === 'boolean') return value;
  throw bad(`"${key}" must be true or false`);
}

function strings(fields: Fields, key: string): readonly string[] {
  const value = fields[key];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw bad(`"${key}" must be a list of strings`);
}

function texts(fields: Fields, key: string): Readonly<Record<string, string>> {
  const entries = Object.entries(fieldsOf(fields[key] ?? {}));
  return Object.fromEntries(
    entries.map(([name, value]) => {
      if (typeof value !== 'string') throw bad(`"${key}.${name}" must be a string`);
      return [name, value];
    }),
  );
}

function counts(fields: Fields, key: string): Readonly<Record<string, number>> {
  const entries = Object.entries(fieldsOf(fields[key] ?? {}));
  return Object.fromEntries(
    entries.map(([name, value]) => {
      if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
        throw bad(`"${key}.${name}" must be a whole number, 0 or more`);
      }
      return [name, value];
    }),
  );
}

function bad(why: string): TscError {
  return new TscError('E_REQUEST_INVALID', why);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
