/**
 * From what the engine says of a container to the record that gossip spreads. Pure: what Docker
 * cannot know (is it being drained, how often was it restarted, does it pass its readiness rule)
 * comes in as `facts`. Everything else stands in the container itself and its labels, so a record
 * can be rebuilt when the revision that made the container is long gone. Containers without this
 * cluster's label, and those the agent runs for itself, have no record.
 */
import type Docker from 'dockerode';
import type { ClusterId } from '../src/model/ids.ts';
import { engineNetwork, label } from '../src/model/names.ts';
import type { ContainerRecord, ContainerState, HealthState } from '../src/model/record.ts';

/** What only the agent knows of a container. */
export interface LocalFacts {
  readonly passesReadiness: boolean;
  readonly isDraining: boolean;
  readonly restarts: number;
}

/** Whether a container with these labels belongs into this cluster's records. */
export function isRecorded(
  labels: Readonly<Record<string, string>> | null | undefined,
  cluster: ClusterId,
): boolean {
  return (
    labels?.[label.cluster] === cluster &&
    labels[label.system] === undefined &&
    [label.project, label.service, label.slot, label.hash, label.rollout].every(
      (name) => (labels[name] ?? '') !== '',
    )
  );
}

/**
 * The record of one container.
 * @returns undefined when it is none of this cluster's
 */
export function containerRecord(
  found: Docker.ContainerInspectInfo,
  cluster: ClusterId,
  facts: LocalFacts,
): ContainerRecord | undefined {
  const labels = found.Config.Labels;
  if (!isRecorded(labels, cluster)) return undefined;
  const state = stateOf(found.State.Status);
  const names = namesOf(labels[label.names]);
  return {
    name: found.Name.replace(/^\//, ''),
    project: labels[label.project] ?? '',
    service: labels[label.service] ?? '',
    slot: labels[label.slot] ?? '',
    hash: labels[label.hash] ?? '',
    rollout: labels[label.rollout] ?? '',
    image: found.Config.Image,
    state,
    health: healthOf(found.State.Health?.Status),
    ready: facts.passesReadiness && !facts.isDraining && state === 'running',
    draining: facts.isDraining,
    ip: state === 'running' || state === 'paused' ? addressOf(found) : '',
    createdMs: timeMs(found.Created),
    startedMs: timeMs(found.State.StartedAt),
    finishedMs: timeMs(found.State.FinishedAt),
    exitCode: found.State.ExitCode,
    restarts: facts.restarts,
    ...(labels[label.hook] === undefined ? {} : { hook: labels[label.hook] }),
    aliases: names.aliases,
    networks: names.networks,
  };
}

const states: readonly ContainerState[] = [
  'created',
  'running',
  'paused',
  'restarting',
  'removing',
  'exited',
  'dead',
];

/** Engines newer than this agent may know further states: a container that is not known to run. */
function stateOf(status: string): ContainerState {
  return states.find((state) => state === status) ?? 'dead';
}

const healths: readonly HealthState[] = ['none', 'starting', 'healthy', 'unhealthy'];

function healthOf(status: string | undefined): HealthState {
  return healths.find((health) => health === status) ?? 'none';
}

function addressOf(found: Docker.ContainerInspectInfo): string {
  return found.NetworkSettings.Networks[engineNetwork]?.IPAddress ?? '';
}

/** Docker writes "never" as year 1. */
function timeMs(text: string | undefined): number {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) || ms < 0 ? 0 : ms;
}

interface Names {
  readonly aliases: readonly string[];
  readonly networks: Readonly<Record<string, readonly string[]>>;
}

/** The label is ours, but anybody on the machine can make a container with it: read with care. */
function namesOf(text: string | undefined): Names {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '{}');
  } catch {
    value = {};
  }
  if (typeof value !== 'object' || value === null) return { aliases: [], networks: {} };
  const aliases: unknown = Reflect.get(value, 'aliases');
  const networks: unknown = Reflect.get(value, 'networks');
  return {
    aliases: textsOf(aliases),
    networks:
      typeof networks === 'object' && networks !== null
        ? Object.fromEntries(Object.entries(networks).map(([name, list]) => [name, textsOf(list)]))
        : {},
  };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
