/**
 * The agent's API as typed calls (src/model/api.ts, src/model/snapshot.ts). One agent answers for
 * the whole cluster; `docker(machine)` is the Docker API of any machine through it, so logs, exec
 * and inspect are ordinary dockerode calls wherever the container is.
 */
import type Dockerode from 'dockerode';
import { TscError } from '../lib/errors.ts';
import type {
  ArrivedAnswer,
  ChangeAnswer,
  DefinitionAnswer,
  DownRequest,
  HereAnswer,
  HistoryAnswer,
  InfoAnswer,
  InitRequest,
  JoinRequest,
  MachineOptionsRequest,
  OperateAnswer,
  OperateRequest,
  RebalanceAnswer,
  RebalanceRequest,
  RemoveMachineAnswer,
  RemoveMachineRequest,
  RollbackRequest,
  ScaleRequest,
  TokenAnswer,
  UpAnswer,
  UpRequest,
  VolumeAnswer,
  VolumeRequest,
} from '../model/api.ts';
import type { GossipStatus } from '../model/links.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { WhyAnswer, WhyRequest } from '../model/why.ts';
import { questionTimeoutMs } from './limits.ts';
import type { JsonRequest } from './request.ts';
import type { WatchOptions } from './watch.ts';

export type FollowOptions = Omit<WatchOptions, 'socketPath' | 'signal'>;

export class AgentClient {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  info(signal?: AbortSignal): Promise<InfoAnswer> {
    return this.#get<InfoAnswer>('/v1/info', signal);
  }

  snapshot(signal?: AbortSignal): Promise<Snapshot> {
    return this.#get<Snapshot>('/v1/snapshot', signal);
  }

  /** @param machine id or name; the gossip links of its agent */
  links(machine: string, signal?: AbortSignal): Promise<GossipStatus> {
    return this.#get<GossipStatus>(`/v1/machines/${encodeURIComponent(machine)}/links/`, signal);
  }

  /**
   * Calls back with every snapshot, the present one first, until the signal fires. An agent that
   * restarts meanwhile is waited for.
   */
  async watch(
    onSnapshot: (snapshot: Snapshot) => void,
    signal: AbortSignal,
    options: FollowOptions = {},
  ): Promise<void> {
    const { watchSnapshots } = await import('./watch.ts');
    await watchSnapshots(onSnapshot, { ...options, socketPath: this.socketPath, signal });
  }

  up(project: string, request: UpRequest, signal?: AbortSignal): Promise<UpAnswer> {
    return this.#post<UpAnswer>(`/v1/projects/${encodeURIComponent(project)}/up`, request, signal);
  }

  down(project: string, request: DownRequest, signal?: AbortSignal): Promise<ChangeAnswer> {
    const path = `/v1/projects/${encodeURIComponent(project)}/down`;
    return this.#post<ChangeAnswer>(path, request, signal);
  }

  scale(project: string, request: ScaleRequest, signal?: AbortSignal): Promise<ChangeAnswer> {
    const path = `/v1/projects/${encodeURIComponent(project)}/scale`;
    return this.#post<ChangeAnswer>(path, request, signal);
  }

  /** Moves a volume with its data and services; takes as long as the data takes. */
  moveVolume(volume: string, request: VolumeRequest, signal?: AbortSignal): Promise<VolumeAnswer> {
    const path = `/v1/volumes/${encodeURIComponent(volume)}/move`;
    return this.#post<VolumeAnswer>(path, request, signal);
  }

  abandonVolume(
    volume: string,
    request: VolumeRequest,
    signal?: AbortSignal,
  ): Promise<VolumeAnswer> {
    const path = `/v1/volumes/${encodeURIComponent(volume)}/abandon`;
    return this.#post<VolumeAnswer>(path, request, signal);
  }

  /** Whether this command runs on the agent's machine and sees the same files. */
  async isHere(folder: string, signal?: AbortSignal): Promise<boolean> {
    const { hereRequest } = await import('./here.ts');
    const request = await hereRequest(this.socketPath, folder);
    try {
      return (await this.#post<HereAnswer>('/v1/here', request, signal)).isHere;
    } catch (error) {
      // An agent that does not know the question takes every command for one of its machine.
      if (error instanceof TscError && error.code === 'E_ROUTE_NOT_FOUND') return true;
      throw error;
    }
  }

  /**
   * Waits until every machine leads traffic to what runs of the project now.
   * @returns names of the machines that do not say so after ten seconds
   */
  async arrived(project: string, signal?: AbortSignal): Promise<readonly string[]> {
    const path = `/v1/projects/${encodeURIComponent(project)}/arrived`;
    try {
      return (await this.#post<ArrivedAnswer>(path, {}, signal)).missing;
    } catch (error) {
      // An agent of an earlier version: what is ready there is all that can be known.
      if (error instanceof TscError && error.code === 'E_ROUTE_NOT_FOUND') return [];
      throw error;
    }
  }

  /** Why a service, or one replica of it, is as it is. */
  why(project: string, request: WhyRequest, signal?: AbortSignal): Promise<WhyAnswer> {
    const path = `/v1/projects/${encodeURIComponent(project)}/why`;
    return this.#post<WhyAnswer>(path, request, signal);
  }

  /** `stop`, `start`, `restart`, `kill` and `rm`. */
  operate(project: string, request: OperateRequest, signal?: AbortSignal): Promise<OperateAnswer> {
    const path = `/v1/projects/${encodeURIComponent(project)}/operate`;
    return this.#post<OperateAnswer>(path, request, signal);
  }

  /** Goes back to an earlier revision. */
  rollback(project: string, request: RollbackRequest, signal?: AbortSignal): Promise<UpAnswer> {
    const path = `/v1/projects/${encodeURIComponent(project)}/rollback`;
    return this.#post<UpAnswer>(path, request, signal);
  }

  /** The last changes of a project, newest first. */
  history(project: string, signal?: AbortSignal): Promise<HistoryAnswer> {
    return this.#get<HistoryAnswer>(`/v1/projects/${encodeURIComponent(project)}/history`, signal);
  }

  /** The definition of a project that is in force. */
  definition(project: string, signal?: AbortSignal): Promise<DefinitionAnswer> {
    const path = `/v1/projects/${encodeURIComponent(project)}/definition`;
    return this.#get<DefinitionAnswer>(path, signal);
  }

  /**
   * Drain, activate, labels, weight, resources.
   * @param machine id or name
   */
  setMachine(
    machine: string,
    request: MachineOptionsRequest,
    signal?: AbortSignal,
  ): Promise<ChangeAnswer> {
    const path = `/v1/machines/${encodeURIComponent(machine)}/options`;
    return this.#post<ChangeAnswer>(path, request, signal);
  }

  /**
   * Removes a machine from the cluster for good.
   * @param machine id or name
   */
  removeMachine(
    machine: string,
    request: RemoveMachineRequest,
    signal?: AbortSignal,
  ): Promise<RemoveMachineAnswer> {
    const path = `/v1/machines/${encodeURIComponent(machine)}/remove`;
    return this.#post<RemoveMachineAnswer>(path, request, signal);
  }

  rebalance(request: RebalanceRequest, signal?: AbortSignal): Promise<RebalanceAnswer> {
    return this.#post<RebalanceAnswer>('/v1/rebalance', request, signal);
  }

  init(request: InitRequest, signal?: AbortSignal): Promise<InfoAnswer> {
    return this.#post<InfoAnswer>('/v1/cluster/init', request, signal);
  }

  token(signal?: AbortSignal): Promise<TokenAnswer> {
    return this.#post<TokenAnswer>('/v1/cluster/token', {}, signal);
  }

  join(request: JoinRequest, signal?: AbortSignal): Promise<InfoAnswer> {
    return this.#post<InfoAnswer>('/v1/cluster/join', request, signal);
  }

  /**
   * @param machine id or name
   * @returns dockerode over that machine's engine, forwarded by this agent
   */
  async docker(machine: string): Promise<Dockerode> {
    const { default: Docker } = await import('dockerode');
    // docker-modem puts `version` before every path: here it is the forward's prefix.
    const version = `v1/machines/${encodeURIComponent(machine)}/docker`;
    // Host and protocol are given so that DOCKER_HOST of the environment does not take over.
    return new Docker({ host: '', protocol: 'http', socketPath: this.socketPath, version });
  }

  // The agent speaks the version of the API that the model describes: answers are not validated
  // again, and a newer agent's further fields do no harm.
  async #get<T>(path: string, signal: AbortSignal | undefined): Promise<T> {
    const { socketPath } = this;
    const timeoutMs = questionTimeoutMs;
    return (await ask({ socketPath, method: 'GET', path, timeoutMs, signal })) as T;
  }

  async #post<T>(path: string, body: unknown, signal: AbortSignal | undefined): Promise<T> {
    const { socketPath } = this;
    return (await ask({ socketPath, method: 'POST', path, body, signal })) as T;
  }
}

/** HTTP is loaded when it is needed: many commands never ask the agent. */
async function ask(request: JsonRequest): Promise<unknown> {
  const { requestJson } = await import('./request.ts');
  return requestJson(request);
}
