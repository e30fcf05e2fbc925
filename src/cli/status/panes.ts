/** The three lists of `status` as tables: their columns, rows, and what a row stands for. Pure. */
import type { Column } from './columns.ts';
import type { ReplicaObject, ServiceObject, StatusObject } from './objects.ts';

export type Tone = 'good' | 'bad' | 'busy' | 'plain' | 'dim';

export interface ServiceName {
  readonly project: string;
  readonly service: string;
}

export interface Row {
  /** Stays the same while the thing lives, so that the selection stays on it. */
  readonly key: string;
  readonly cells: readonly string[];
  /** Of the cells, by position; the others are plain. */
  readonly tones: Readonly<Record<number, Tone>>;
  /** Whose logs are shown. */
  readonly service: ServiceName | undefined;
}

export interface Pane {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** Said in place of rows. */
  readonly empty: string;
}

/** @returns machines, services and replicas, in this order */
export function panesOf(status: StatusObject, nowMs: number): readonly Pane[] {
  return [
    {
      title: 'Machines',
      columns: machineColumns,
      rows: status.machines.map(machineRow),
      empty: 'no machine is known',
    },
    {
      title: 'Services',
      columns: serviceColumns,
      rows: status.services.map(serviceRow),
      empty: 'nothing runs yet: start a project with tsc-compose up',
    },
    {
      title: 'Replicas',
      columns: replicaColumns,
      rows: status.replicas.map((replica) => replicaRow(replica, nowMs)),
      empty: 'no containers',
    },
  ];
}

function column(head: string, minWidth: number, more: Partial<Column> = {}): Column {
  return { head, minWidth, cut: 'end', sacrifice: 0, ...more };
}

const machineColumns = [
  column('MACHINE', 8, { cut: 'middle' }),
  column('STATE', 9),
  column('CONTAINERS', 10, { sacrifice: 1 }),
  column('SUBNET', 13, { sacrifice: 2 }),
  column('ENGINE', 6, { sacrifice: 3 }),
  column('PLATFORM', 11, { sacrifice: 4 }),
  column('ENDPOINTS', 18, { sacrifice: 5 }),
];

function machineRow(machine: StatusObject['machines'][number]): Row {
  const { id, name, isSelf, state, containerCount, subnet, engine, platform, endpoints } = machine;
  const tone: Tone = state === 'reachable' ? 'good' : state.startsWith('lost') ? 'bad' : 'busy';
  return {
    key: id,
    cells: [
      isSelf ? `${name} *` : name,
      state,
      `${containerCount}`,
      subnet,
      engine,
      platform,
      endpoints.join(', '),
    ],
    tones: { 1: tone },
    service: undefined,
  };
}

const serviceColumns = [
  column('SERVICE', 20, { cut: 'middle' }),
  column('READY', 5),
  column('STATE', 9),
  column('IMAGE', 10, { cut: 'middle', sacrifice: 2 }),
  column('ANSWERS AT', 28, { sacrifice: 1 }),
];

function serviceRow(service: ServiceObject): Row {
  const { project, name, ready, wanted, state, image, isOrphan, answersAt } = service;
  const tones: Record<ServiceObject['state'], Tone> = {
    ready: 'good',
    progressing: 'busy',
    failed: 'bad',
    stopped: 'dim',
  };
  return {
    key: `${project}/${name}`,
    cells: [
      `${project}/${name}`,
      `${ready}/${wanted}`,
      isOrphan ? `${state}, orphan` : state,
      image,
      answersAt.join(', '),
    ],
    tones: { 1: tones[state], 2: tones[state] },
    service: { project, service: name },
  };
}

const replicaColumns = [
  column('REPLICA', 24, { cut: 'middle' }),
  column('STATE', 9),
  column('HEALTH', 9),
  column('VERSION', 8, { sacrifice: 2 }),
  column('ADDRESS', 8, { sacrifice: 1 }),
  column('MACHINE', 6, { cut: 'middle' }),
];

/** 7 characters tell versions of one service apart, as they do with commits. */
const shownHashLength = 7;

function replicaRow(replica: ReplicaObject, nowMs: number): Row {
  const { id, name, machine, health, isReady, hash, version, address, project, service } = replica;
  const shortHash = hash.slice(0, shownHashLength);
  const isBad = ['unhealthy', 'unreachable', 'lost', 'machine removed'].includes(health);
  return {
    key: `${machine}/${id}`,
    cells: [
      name,
      stateText(replica, nowMs),
      health,
      version === 'current' ? shortHash : `${shortHash} ${version}`,
      address,
      machine,
    ],
    tones: {
      1: stateTone(replica),
      2: isReady ? 'good' : isBad ? 'bad' : 'busy',
      3: version === 'current' ? 'plain' : 'busy',
    },
    service: { project, service },
  };
}

function stateText({ state, exitCode, sinceMs }: ReplicaObject, nowMs: number): string {
  if (state === 'running') return `up ${shortDuration(nowMs - sinceMs)}`;
  return state === 'exited' || state === 'restarting' ? `${state} (${exitCode})` : state;
}

function stateTone({ state, exitCode }: ReplicaObject): Tone {
  if (state === 'running') return 'plain';
  return state === 'exited' && exitCode === 0 ? 'dim' : state === 'created' ? 'busy' : 'bad';
}

/** "5s", "3m", "2h", "4d"; a clock that is ahead counts as now. */
export function shortDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** One line of what others wrote: without escape sequences, control characters and line ends. */
export function plainText(text: string): string {
  const visible = text.replace(escapeSequences, '').replace(/\t/g, '    ');
  return visible.replace(controlCharacters, ' ');
}

// What a terminal would obey instead of show. Written by code, so that this file is plain text.
const escape = String.fromCharCode(27);
const bell = String.fromCharCode(7);
const escapeSequences = new RegExp(
  `${escape}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${bell}${escape}]*(?:${bell}|${escape}\\\\)|[ -/]*[0-~])`,
  'g',
);
const controlCharacters = /\p{Cc}/gu;
