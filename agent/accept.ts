/**
 * The accepting agent: carries a request over the border from "asked for" to "written down". It
 * gathers what the pure part (src/plan/accept.ts) cannot know, lets it decide, and writes the
 * revision before the pointer that names it. One change of a project at a time; a change that was
 * decided on an older state is refused, never merged. Until the pointer is written nothing has
 * happened; after it the change no longer needs this agent or the command.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { registryOf } from '../src/images/reference.ts';
import { TscError } from '../src/lib/errors.ts';
import type { Plan } from '../src/model/action.ts';
import type {
  ChangeAnswer,
  DefinitionAnswer,
  DownRequest,
  HistoryAnswer,
  OperateAnswer,
  OperateRequest,
  PlannedStep,
  RollbackRequest,
  ScaleRequest,
  UpAnswer,
  UpRequest,
  VolumeAnswer,
  VolumeRequest,
} from '../src/model/api.ts';
import type { MachineId } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import type { Project } from '../src/model/project.ts';
import type { CaddySites, Entry, RecordReader } from '../src/model/record.ts';
import { recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { View, ViewContext } from '../src/model/view.ts';
import type { AcceptedUp, AcceptFacts } from '../src/plan/accept.ts';
import { acceptDown, acceptScale, acceptUp } from '../src/plan/accept.ts';
import { pathsToLookFor } from '../src/plan/bind-pins.ts';
import { changeId } from '../src/plan/conflict.ts';
import { definitionOf } from '../src/plan/definition.ts';
import { foresee } from '../src/plan/foresee.ts';
import {
  historyEntries,
  historyKey,
  historyOf,
  rollbackRequest,
  rollbackTarget,
  unreferenced,
} from '../src/plan/history.ts';
import { loggingNotes } from '../src/plan/logging-notes.ts';
import { acceptOperation } from '../src/plan/operate.ts';
import { placeable, refusal } from '../src/plan/place.ts';
import { acceptVolumeAbandon, acceptVolumeMove } from '../src/plan/volume-home.ts';
import { caddyfileOf, expandCaddyfile, readAdapted } from '../src/render/x-caddy.ts';
import { buildView } from '../src/view/build-view.ts';
import { isPointer } from '../src/view/record-checks.ts';
import { gatherFacts } from './accept-facts.ts';
import { ensureOnTargets, gatherImages } from './accept-images.ts';
import { storedOnCount } from './acknowledge.ts';
import type { MachineQuestions, ProjectChanges, VolumeChanges } from './api-routes.ts';
import { adaptCaddyfile } from './caddy-adapt.ts';
import { type Copies, copiesOf } from './copies.ts';
import type { RegistryAuth } from './engine-image.ts';
import type { Log } from './log.ts';
import type { ConnectRpc } from './peer-calls.ts';
import { type RegistryCredentialsKeeper, registryAuth } from './registry-credentials.ts';
import { abandonVolume, moveVolume, type VolumeMoveComponents } from './volume-moves.ts';

/** 100 ms: the guards end by themselves, half a minute after the start at the latest. */
const settlePollMs = 100;

/** 3 s: listing containers is answered from memory; longer is an engine or a line that hangs. */
const listMs = 3_000;

export interface AcceptorComponents {
  readonly replica: Replica;
  readonly viewContext: () => ViewContext;
  /** `plan` of src/plan: what `view.self` would do. */
  readonly plan: (view: View) => Plan;
  /** The engine of any machine, through this agent's own API. */
  readonly docker: (machine: MachineId) => Promise<Dockerode>;
  readonly credentials: Pick<RegistryCredentialsKeeper, 'authFor' | 'replace'>;
  readonly newId: () => string;
  readonly machineFacts: Pick<MachineQuestions, 'read'>;
  readonly connectRpc: ConnectRpc;
  readonly copies: Pick<Copies, 'spread'>;
  /** Of the ingress, which also checks Caddyfiles. */
  readonly caddyImage: string;
  readonly log: Log;
}

export class Acceptor implements ProjectChanges, VolumeChanges {
  readonly #components: AcceptorComponents;
  /** By project: the end of the change that is under way. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(components: AcceptorComponents) {
    this.#components = components;
  }

  up(project: string, request: UpRequest, signal: AbortSignal): Promise<UpAnswer> {
    return this.#oneAtATime(project, () => this.#up(project, request, signal));
  }

  /** @returns hlc 0 when there was nothing to take down */
  down(project: string, request: DownRequest): Promise<ChangeAnswer> {
    return this.#oneAtATime(project, async () => {
      const { replica } = this.#components;
      await this.#settled();
      const view = this.#view();
      const accepted = acceptDown(view, project, request, this.#facts(view));
      if (accepted.tombstone === undefined) return { hlc: 0, storedOnCount: 0 };
      const key = recordKey.pointer(project);
      const { hlc } = await replica.write(key, accepted.tombstone);
      for (const operation of accepted.operationsToClear) await this.#clear(operation);
      await this.#components.credentials.replace(project, {}, []);
      return { hlc, storedOnCount: await this.#stored(view, key, hlc) };
    });
  }

  scale(project: string, request: ScaleRequest): Promise<ChangeAnswer> {
    return this.#oneAtATime(project, async () => {
      await this.#settled();
      const view = this.#view();
      if (view.projects.get(project)?.pointer === undefined) throw unknownProject(project);
      let stored: ChangeAnswer = { hlc: 0, storedOnCount: 0 };
      const by = { machine: view.self, atMs: view.nowMs };
      for (const { key, value } of acceptScale(view, project, request, by)) {
        const { hlc } = await this.#components.replica.write(key, value);
        stored = { hlc, storedOnCount: await this.#stored(view, key, hlc) };
      }
      return stored;
    });
  }

  async moveVolume(
    volume: string,
    request: VolumeRequest,
    signal: AbortSignal,
  ): Promise<VolumeAnswer> {
    await this.#settled(signal);
    const question = { volume, machine: request.machine, user: request.user };
    const { project } = acceptVolumeMove(this.#view(), question);
    return this.#oneAtATime(project, () =>
      moveVolume(this.#volumeParts(), volume, request, signal),
    );
  }

  async abandonVolume(volume: string, request: VolumeRequest): Promise<VolumeAnswer> {
    await this.#settled();
    const question = { volume, machine: request.machine, user: request.user };
    const { project } = acceptVolumeAbandon(this.#view(), question);
    return this.#oneAtATime(project, () => abandonVolume(this.#volumeParts(), volume, request));
  }

  #volumeParts(): VolumeMoveComponents {
    const { replica, docker, log } = this.#components;
    return {
      replica,
      view: () => this.#view(),
      docker,
      stored: (view, key, hlc) => this.#stored(view, key, hlc),
      now: () => this.#components.viewContext().nowMs,
      log: log.part('volumes'),
    };
  }

  /** @returns hlc 0 when there was nothing to do */
  operate(project: string, request: OperateRequest): Promise<OperateAnswer> {
    return this.#oneAtATime(project, async () => {
      await this.#settled();
      const view = this.#view();
      if (view.projects.get(project)?.pointer === undefined) throw unknownProject(project);
      const { user } = request;
      const by = { machine: view.self, ...(user === undefined ? {} : { user }) };
      const accepted = acceptOperation(view, project, request, view.nowMs, by);
      let last = { key: '', hlc: 0 };
      for (const { key, value } of accepted.writes) {
        last = { key, hlc: (await this.#components.replica.write(key, value)).hlc };
      }
      const { services, notes } = accepted;
      const stored = last.hlc === 0 ? 0 : await this.#stored(view, last.key, last.hlc);
      return { hlc: last.hlc, storedOnCount: stored, services, notes };
    });
  }

  rollback(project: string, request: RollbackRequest): Promise<UpAnswer> {
    return this.#oneAtATime(project, async () => {
      await this.#settled();
      const { replica, newId, log } = this.#components;
      const view = this.#view();
      const found = view.projects.get(project);
      if (found?.pointer === undefined) throw unknownProject(project);
      const target = rollbackTarget(replica, found, request.to);
      const { request: back, images } = rollbackRequest(replica, project, target);
      const { user } = request;
      // A tag is not resolved anew: it meant something then, and that is what is asked for.
      const accepted = acceptUp(
        view,
        { ...back, ...(user === undefined ? {} : { user }) },
        { ...this.#facts(view), images, newId, isRollback: true },
      );
      const notes = [`back to revision ${target.revision}`, ...accepted.notes];
      if (request.isDryRun) return this.#dryRun(view, project, accepted, notes);
      const pointerHlc = await this.#write(project, accepted);
      log.info('went back to an earlier revision', { project, revision: target.revision });
      const stored = await this.#changeStored(view, project, accepted, pointerHlc);
      return { ...answerOf(view, accepted), notes, pointerHlc, storedOnCount: stored };
    });
  }

  history(project: string): HistoryAnswer {
    const entries = historyEntries(this.#components.replica, project);
    if (entries.length === 0) throw unknownProject(project);
    return { entries };
  }

  definition(project: string): DefinitionAnswer {
    const found = this.#view().projects.get(project);
    if (found?.pointer === undefined) throw unknownProject(project);
    return definitionOf(found);
  }

  /** An agent that has just started may not know yet what the others have: see the guards. */
  async #settled(signal?: AbortSignal): Promise<void> {
    for (;;) {
      const { guards } = this.#components.viewContext();
      if (!guards.includes('booting') && !guards.includes('stale')) return;
      signal?.throwIfAborted();
      await sleep(settlePollMs);
    }
  }

  async #up(project: string, request: UpRequest, signal: AbortSignal): Promise<UpAnswer> {
    await this.#settled(signal);
    const first = this.#view();
    const { newId, credentials } = this.#components;
    const given = request.credentials ?? {};
    const imageComponents = {
      ...this.#components,
      authFor: (reference: string): RegistryAuth | undefined => {
        const registry = registryOf(reference) ?? '';
        const mine = given[registry];
        return mine === undefined
          ? credentials.authFor(project, reference)
          : registryAuth(registry, mine);
      },
    };
    // What can be refused without asking anybody is refused at once.
    const draft = acceptUp(first, request, { ...this.#facts(first), images: {}, newId });
    const services = Object.keys(draft.pointer.services).filter(
      (name) =>
        request.project.services[name] !== undefined &&
        (request.services.length === 0 || request.services.includes(name)),
    );
    const [notes, images, machines] = await Promise.all([
      this.#refuseForeign(first, project),
      gatherImages(
        first,
        request.project,
        { services, mayPull: !request.isDryRun },
        imageComponents,
      ),
      gatherFacts(first, pathsToLookFor(services, request), this.#components),
    ]);
    const facts = {
      ...this.#facts(first),
      images: images.images,
      machines,
      ...(await this.#caddyOf(first, request.project, services)),
      newId,
    };
    let accepted = acceptUp(this.#view(), request, facts);
    if (!request.isDryRun) {
      const targets = targetsOf(first, request.project, accepted);
      await Promise.all([
        ensureOnTargets(first, request.project, targets, images, imageComponents),
        this.#components.copies.spread(copiesOf(request.project, services), [
          ...new Set([...targets.values()].flatMap((ids) => [...ids])),
        ]),
      ]);
    }
    signal.throwIfAborted();
    // Decided anew on what is known now; a pointer that comes in until ours is written is noticed there.
    const view = this.#view();
    accepted = acceptUp(view, request, facts);
    const before = view.projects.get(project);
    const logging = loggingNotes(before, request.project, accepted.changed);
    const allNotes = [...notes, ...images.notes, ...accepted.notes, ...logging];
    if (request.isDryRun) return this.#dryRun(view, project, accepted, allNotes);
    const kept = [...(view.projects.get(project)?.services.values() ?? [])]
      .filter(({ name }) => accepted.pointer.services[name] !== undefined)
      .map(({ spec }) => spec.image);
    const wanted = Object.values(request.project.services).map(({ image }) => image);
    const references = [...kept, ...wanted].filter((image) => image !== undefined);
    const pointerHlc = await this.#write(project, accepted);
    // Only now: a change that was refused must leave the credentials of the one in force.
    await credentials.replace(project, given, references);
    this.#components.log.info('accepted a change', { project, changed: accepted.changed.join() });
    return {
      ...answerOf(view, accepted),
      notes: allNotes,
      pointerHlc,
      change: changeId(accepted.pointer),
      storedOnCount: await this.#changeStored(view, project, accepted, pointerHlc),
    };
  }

  /** What Caddy makes of the services' own Caddyfiles; nothing when there are none. */
  async #caddyOf(
    view: View,
    project: Project,
    services: readonly string[],
  ): Promise<Pick<AcceptFacts, 'caddy'>> {
    const caddy: Record<string, CaddySites> = {};
    for (const name of services) {
      const text = caddyfileOf(name, project.services[name] ?? {});
      if (text === undefined) continue;
      const { caddyImage: image } = this.#components;
      const docker = await this.#components.docker(view.self);
      const expanded = expandCaddyfile(name, text, Object.keys(project.services));
      const options = { docker, image, cluster: view.cluster };
      caddy[name] = readAdapted(name, await adaptCaddyfile(options, name, expanded));
    }
    return Object.keys(caddy).length === 0 ? {} : { caddy };
  }

  /** @throws TscError E_PROJECT_CHANGED when another pointer came in meanwhile */
  async #write(project: string, accepted: AcceptedUp): Promise<number> {
    const { replica } = this.#components;
    const { hash, record } = accepted.revision;
    const revisionKey = recordKey.revision(project, hash);
    const before = replica.get(recordKey.pointer(project));
    // Written anew when it is not in force: nobody may drop it as old while this change is on its way.
    const isInForce =
      isPointer(before?.value) &&
      Object.values(before.value.services).some(({ revision }) => revision === hash);
    if (!isInForce || (replica.get(revisionKey)?.value ?? null) === null) {
      await replica.write(revisionKey, record);
    }
    const parent = this.#view().projects.get(project)?.pointerHlc ?? null;
    if (parent !== accepted.pointer.parent) {
      throw new TscError('E_PROJECT_CHANGED', `project ${project} was changed by someone else`, {
        hint: 'look at what they did, and run the command again. Nothing of yours was applied',
      });
    }
    const { hlc } = await replica.write(recordKey.pointer(project), accepted.pointer);
    for (const key of accepted.operationsToClear) await this.#clear(key);
    for (const { key, value } of accepted.operationsToWrite) await replica.write(key, value);
    await this.#remember(project, [before, replica.get(recordKey.pointer(project))]).catch(
      (error: unknown) => {
        // The change is accepted; only its past could not be written down.
        this.#components.log.warn('the history could not be written', { project, error });
      },
    );
    return hlc;
  }

  /** Notes the changes for `history`, and drops what is too old for it. */
  async #remember(project: string, changes: readonly (Entry | undefined)[]): Promise<void> {
    const { replica, log } = this.#components;
    for (const change of changes) {
      if (change === undefined || !isPointer(change.value)) continue;
      const key = historyKey(project, change.hlc);
      if ((replica.get(key)?.value ?? null) !== null) continue;
      await replica.write(key, historyOf(change.value, change.hlc));
    }
    const dropped = unreferenced(replica, this.#view());
    for (const key of dropped) await replica.write(key, null);
    if (dropped.length > 0) log.info('dropped records of the past', { count: dropped.length });
  }

  /** What each machine would do if the change were written now. */
  #dryRun(view: View, project: string, accepted: AcceptedUp, notes: readonly string[]): UpAnswer {
    const { replica, viewContext, plan } = this.#components;
    const { hash, record } = accepted.revision;
    const pointerHlc = view.projects.get(project)?.pointerHlc ?? 0;
    const entry = (key: string, value: unknown, hlc = pointerHlc + 1): Entry => ({
      key,
      origin: view.self,
      hlc,
      value,
    });
    const writes = [
      entry(recordKey.revision(project, hash), record),
      entry(recordKey.pointer(project), accepted.pointer),
      ...accepted.operationsToClear.map((key) => entry(key, null)),
      // As when they are written: an operation holds only while it is newer than the pointer.
      ...accepted.operationsToWrite.map(({ key, value }) => entry(key, value, pointerHlc + 2)),
    ];
    const supposed = buildView(overlay(replica, writes), { ...viewContext(), guards: [] });
    const { steps, waiting, isComplete } = foresee(supposed, project, plan);
    return {
      ...answerOf(view, accepted),
      pointerHlc,
      storedOnCount: 0,
      notes: [
        ...notes,
        ...waiting,
        ...(isComplete ? [] : ['only the first steps are shown: more follow in the same way']),
      ],
      steps,
    };
  }

  /**
   * Containers that carry the project's Compose label and are not this cluster's.
   * @throws TscError E_FOREIGN_CONTAINERS
   */
  async #refuseForeign(view: View, project: string): Promise<readonly string[]> {
    const notes: string[] = [];
    const foreign: string[] = [];
    const filters = JSON.stringify({ label: [`${composeLabel.project}=${project}`] });
    await Promise.all(
      [...view.machines.values()].map(async ({ id, name, liveness }) => {
        if (liveness !== 'reachable') return;
        try {
          const engine = await this.#components.docker(id);
          const abortSignal = AbortSignal.timeout(listMs);
          const found = await engine.listContainers({ all: true, filters, abortSignal });
          for (const { Names, Id, Labels } of found) {
            if (Labels[label.cluster] === view.cluster) continue;
            foreign.push(`${Names[0]?.replace(/^\//, '') ?? Id.slice(0, 12)} on ${name}`);
          }
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          notes.push(`${name}: its containers could not be listed: ${why.trim()}`);
        }
      }),
    );
    if (foreign.length === 0) return notes.sort();
    throw new TscError(
      'E_FOREIGN_CONTAINERS',
      `project ${project} has containers that tsc-compose did not make: ${foreign.sort().join(', ')}`,
      {
        hint:
          `remove them (docker compose -p ${project} down), or choose another name with -p. ` +
          'Nothing has been changed',
      },
    );
  }

  /** @returns on how many machines the record is durable, this one included */
  #stored(view: View, key: string, hlc: number): Promise<number> {
    return storedOnCount(this.#components.replica, [{ key, hlc }], reachableCount(view));
  }

  /** The same of a change: a pointer without the revision that it names is worth nothing. */
  #changeStored(view: View, project: string, accepted: AcceptedUp, hlc: number): Promise<number> {
    const { replica } = this.#components;
    const revision = replica.get(recordKey.revision(project, accepted.revision.hash));
    const records = [{ key: recordKey.pointer(project), hlc }, ...(revision ? [revision] : [])];
    return storedOnCount(replica, records, reachableCount(view));
  }

  async #clear(key: string): Promise<void> {
    const entry = this.#components.replica.get(key);
    if (entry !== undefined && entry.value !== null) {
      await this.#components.replica.write(key, null);
    }
  }

  #view(): View {
    return buildView(this.#components.replica, this.#components.viewContext());
  }

  #facts(view: View): { readonly self: MachineId; readonly nowMs: number } {
    return { self: view.self, nowMs: view.nowMs };
  }

  #oneAtATime<T>(project: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(project) ?? Promise.resolve();
    // What became of the change before is its author's business.
    const result = before.then(work, work);
    this.#last.set(project, result);
    const forget = (): void => {
      if (this.#last.get(project) === result) this.#last.delete(project);
    };
    result.then(forget, forget);
    return result;
  }
}

function answerOf(view: View, accepted: AcceptedUp) {
  return {
    reachableCount: reachableCount(view),
    machineCount: view.machines.size,
    changed: accepted.changed,
    // Those that this change removes are no longer orphans.
    orphans: accepted.pointer.orphans,
    steps: [] as readonly PlannedStep[],
  };
}

/** Where the changed services are placed; a global one is wherever it may be. */
function targetsOf(
  view: View,
  project: Project,
  accepted: AcceptedUp,
): ReadonlyMap<string, ReadonlySet<MachineId>> {
  return new Map(
    accepted.changed.map((name) => {
      const image = accepted.revision.record.images[name];
      const place = placeable(project.name, name, { definition: project, image, bound: undefined });
      const machines =
        place.mode === 'global'
          ? [...view.machines.values()].filter((m) => refusal(place, m) === undefined)
          : [];
      const slots = Object.values(accepted.pointer.services[name]?.slots ?? {});
      return [name, new Set([...slots, ...machines.map(({ id }) => id)])];
    }),
  );
}

function reachableCount(view: View): number {
  return [...view.machines.values()].filter(({ liveness }) => liveness === 'reachable').length;
}

/** The records as they would be with the writes; in key order, as the reader promises. */
function overlay(base: RecordReader, writes: readonly Entry[]): RecordReader {
  const written = new Map(writes.map((entry) => [entry.key, entry]));
  return {
    get: (key) => written.get(key) ?? base.get(key),
    entries: (prefix) =>
      [
        ...[...base.entries(prefix)].filter(({ key }) => !written.has(key)),
        ...writes.filter(({ key }) => key.startsWith(prefix)),
      ].sort((a, b) => (a.key < b.key ? -1 : 1)),
  };
}

function unknownProject(project: string): TscError {
  return new TscError('E_PROJECT_NONE', `project ${project} is not running`, {
    hint: 'see `tsc-compose ls`; start it with `tsc-compose up`',
  });
}
