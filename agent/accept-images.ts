/**
 * Finds out, before anything is written, what the images of a change are: which machine has them,
 * what each tag means per platform, and whether a missing one can be had at all. A tag is resolved
 * once, here; an image that exists nowhere stops the change while nothing has happened yet.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import type { Project } from '../src/model/project.ts';
import type { ResolvedImage } from '../src/model/record.ts';
import type { MachineView, View } from '../src/model/view.ts';
import { placeable, refusal } from '../src/plan/place.ts';
import { isEngineDown } from './engine-errors.ts';
import { ensureImage } from './engine-image.ts';
import type { Log } from './log.ts';

/** 3 s: an inspect is answered from memory; longer is an engine or a line that hangs. */
const inspectMs = 3_000;

/** 3: machines on which a missing image is tried to be pulled at the same time. */
const maxPullCount = 3;

export interface ImageComponents {
  readonly docker: (machine: MachineId) => Promise<Dockerode>;
  readonly log: Log;
}

export interface ImageFacts {
  /** By service. */
  readonly images: Readonly<Record<string, ResolvedImage>>;
  readonly notes: readonly string[];
  /** Machines that have the service's image, by service. */
  readonly presence: ReadonlyMap<string, ReadonlySet<MachineId>>;
  /** Machines that did not answer in time: nothing more is asked of them, nor waited for. */
  readonly silent: ReadonlySet<MachineId>;
}

/** One that the engine did not answer. */
const noAnswer = Symbol('no answer');

/** An image of a service on the machines that may run it. */
interface Wanted {
  readonly service: string;
  readonly reference: string;
  readonly policy: string | undefined;
  readonly platform: string | undefined;
  readonly eligible: readonly MachineView[];
}

/**
 * Resolves the images of the services; pulls one that no eligible machine has.
 * @param mayPull false for a dry run, which only notes what would have to be pulled
 * @throws TscError E_IMAGE_NOT_FOUND
 */
export async function gatherImages(
  view: View,
  project: Project,
  change: { readonly services: readonly string[]; readonly mayPull: boolean },
  components: ImageComponents,
): Promise<ImageFacts> {
  const notes: string[] = [];
  const images: Record<string, ResolvedImage> = {};
  const presence = new Map<string, ReadonlySet<MachineId>>();
  const asked = new Map<string, Promise<string | undefined>>();
  const silent = new Set<MachineId>();
  const ask = async (machine: MachineView, reference: string): Promise<string | undefined> => {
    const found = await inspect(machine.id, reference, components);
    if (found !== noAnswer) return found;
    if (!silent.has(machine.id)) notes.push(`${machine.name} did not say which images it has`);
    silent.add(machine.id);
    return undefined;
  };
  const idOn = (machine: MachineView, reference: string): Promise<string | undefined> => {
    const key = `${machine.id} ${reference}`;
    const known = asked.get(key) ?? ask(machine, reference);
    asked.set(key, known);
    return known;
  };
  const pulls = new Map<string, Promise<void>>();
  await Promise.all(
    wantedImages(view, project, change.services).map(async (wanted) => {
      const { service, reference, policy } = wanted;
      let ids = await idsOf(wanted, idOn);
      const eligible = wanted.eligible.filter(({ id }) => !silent.has(id));
      const isMissing = ids.size === 0 || policy === 'always';
      if (isMissing && !change.mayPull) {
        notes.push(`service ${service}: image ${reference} would be pulled`);
      } else if (isMissing && eligible.length > 0) {
        const key = `${reference} ${wanted.platform ?? ''}`;
        const pull = pulls.get(key) ?? pullSomewhere({ ...wanted, eligible }, components);
        pulls.set(key, pull);
        await pull;
        for (const { id } of eligible) asked.delete(`${id} ${reference}`);
        ids = await idsOf(wanted, idOn);
      }
      presence.set(service, new Set(ids.keys()));
      images[service] = { reference, ids: byPlatform(view, wanted, ids) };
    }),
  );
  return { images, notes: notes.sort(), presence, silent };
}

/**
 * Makes the images present where the change has placed replicas, so that what cannot be had on a
 * machine is said before the change and not by it.
 * @throws TscError E_IMAGE_NOT_FOUND
 */
export async function ensureOnTargets(
  view: View,
  project: Project,
  targets: ReadonlyMap<string, ReadonlySet<MachineId>>,
  facts: ImageFacts,
  components: ImageComponents,
): Promise<void> {
  const pulls = new Map<string, Promise<void>>();
  for (const wanted of wantedImages(view, project, [...targets.keys()])) {
    const present = facts.presence.get(wanted.service) ?? new Set();
    for (const id of targets.get(wanted.service) ?? []) {
      const machine = view.machines.get(id);
      if (machine?.liveness !== 'reachable' || !machine.isAble || present.has(id)) continue;
      // It pulls by itself when it can; one broken engine must not hold up the others' change.
      if (facts.silent.has(id)) continue;
      const key = `${id} ${wanted.reference}`;
      const resolvedId = facts.images[wanted.service]?.ids[machine.platform];
      if (!pulls.has(key)) pulls.set(key, pullOn(machine, wanted, components, resolvedId));
    }
  }
  await Promise.all(pulls.values());
}

function wantedImages(
  view: View,
  project: Project,
  services: readonly string[],
): readonly Wanted[] {
  return services.flatMap((name) => {
    const spec = project.services[name];
    if (spec?.image === undefined) return [];
    const place = placeable(project.name, name, {
      definition: project,
      image: undefined,
      bound: undefined,
    });
    const eligible = [...view.machines.values()].filter((m) => refusal(place, m) === undefined);
    return [
      {
        service: name,
        reference: spec.image,
        policy: spec.pull_policy,
        platform: spec.platform,
        // The accepting machine first: what the user just built or loaded there is meant.
        eligible: [
          ...eligible.filter(({ id }) => id === view.self),
          ...eligible.filter(({ id }) => id !== view.self),
        ],
      },
    ];
  });
}

async function idsOf(
  { eligible, reference }: Wanted,
  idOn: (machine: MachineView, reference: string) => Promise<string | undefined>,
): Promise<ReadonlyMap<MachineId, string>> {
  const found = await Promise.all(
    eligible.map(async (machine) => [machine.id, await idOn(machine, reference)] as const),
  );
  return new Map(found.flatMap(([machine, id]) => (id === undefined ? [] : [[machine, id]])));
}

/** What the reference means on each platform: as on the first of the machines that have it. */
function byPlatform(
  view: View,
  wanted: Wanted,
  ids: ReadonlyMap<MachineId, string>,
): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const { id } of wanted.eligible) {
    const imageId = ids.get(id);
    const platform = view.machines.get(id)?.platform;
    if (imageId !== undefined && platform !== undefined) result[platform] ??= imageId;
  }
  return result;
}

async function inspect(
  machine: MachineId,
  reference: string,
  { docker, log }: ImageComponents,
): Promise<string | undefined | typeof noAnswer> {
  try {
    const engine = await docker(machine);
    const inspected = engine.getImage(reference).inspect();
    // The types of dockerode know no signal here; the late answer of a hung engine is dropped.
    const { Id } = await Promise.race([inspected, late(inspectMs)]);
    return Id;
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'statusCode') === 404) return undefined;
    log.warn('an engine could not be asked for an image', { machine, reference, error });
    return noAnswer;
  }
}

async function late(timeoutMs: number): Promise<never> {
  await pause(timeoutMs, undefined, { ref: false });
  throw new TscError('E_ENGINE_TIMEOUT', `the engine did not answer within ${timeoutMs} ms`);
}

/** Tries a few machines at a time: one of them may reach a registry that another does not. */
async function pullSomewhere(wanted: Wanted, components: ImageComponents): Promise<void> {
  const attempts = wanted.eligible
    .slice(0, maxPullCount)
    .map((machine) => pullOn(machine, wanted, components, undefined));
  try {
    await Promise.any(attempts);
  } catch (error) {
    const cause: unknown = error instanceof AggregateError ? error.errors[0] : error;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TscError(
      'E_IMAGE_NOT_FOUND',
      `service ${wanted.service}: image "${wanted.reference}" is on no machine that may run it, ` +
        `and cannot be pulled: ${why}`,
      { hint: 'is the name right? Nothing has been changed', cause },
    );
  }
}

async function pullOn(
  machine: MachineView,
  wanted: Wanted,
  { docker, log }: ImageComponents,
  resolvedId: string | undefined,
): Promise<void> {
  const { service, reference, policy, platform } = wanted;
  log.info('making an image available', { machine: machine.name, reference });
  try {
    const machineName = machine.name;
    const engine = await docker(machine.id);
    await ensureImage(engine, { reference, policy, platform, resolvedId, machineName }, log);
  } catch (cause) {
    if (resolvedId !== undefined && isEngineDown(cause)) {
      log.warn('an engine is away; it pulls later', { machine: machine.name, reference });
      return;
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TscError('E_IMAGE_NOT_FOUND', `service ${service} on ${machine.name}: ${why}`, {
      hint: `load the image there, or keep the service off that machine with x-machines. Nothing has been changed`,
      cause,
    });
  }
}
