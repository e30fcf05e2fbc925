/**
 * Finds out, before anything is written, what the images of a change are: which machine has them,
 * what each tag means per platform, and whether a missing one can be had at all. A tag is resolved
 * once, here: where the registry's digest is known it is written down, and every machine runs
 * exactly that, however the tag moves later. An image that is here is used before any registry is
 * asked, unless `pull_policy` wants a newer one; an image that exists nowhere, or a registry that
 * refuses the credentials, stops the change while nothing has happened yet.
 */
import { digestOf, pinnedReference } from '../src/images/reference.ts';
import { durationMs } from '../src/lib/duration.ts';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import type { Project } from '../src/model/project.ts';
import type { ResolvedImage } from '../src/model/record.ts';
import type { MachineView, View } from '../src/model/view.ts';
import { placeable, refusal } from '../src/plan/place.ts';
import {
  askRegistry,
  type Found,
  type ImageComponents,
  late,
  maxPullCount,
  optionalMs,
  registryRefused,
  type Wanted,
} from './accept-registry.ts';
import { isEngineDown, isRegistryRefusal } from './engine-errors.ts';
import { digestFor, ensureImage } from './engine-image.ts';

/** 3 s: an inspect is answered from memory; longer is an engine or a line that hangs. */
const inspectMs = 3_000;

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

/** What a machine has under a name. */
interface Held {
  readonly id: string;
  /** What registries call it, under this name. */
  readonly digests: readonly string[];
  /** When the name was last given to it there; 0 when the engine does not say. */
  readonly taggedMs: number;
}

type Holders = ReadonlyMap<MachineId, Held>;

/**
 * Resolves the images of the services; pulls one that no eligible machine has.
 * @param mayPull false for a dry run, which only notes what would have to be pulled
 * @throws TscError E_IMAGE_NOT_FOUND, E_REGISTRY_REFUSED
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
  const asked = new Map<string, Promise<Held | undefined>>();
  const silent = new Set<MachineId>();
  const ask: Look = async (machine, reference) => {
    const found = await inspect(machine.id, reference, components);
    if (found !== noAnswer) return found;
    if (!silent.has(machine.id)) notes.push(`${machine.name} did not say which images it has`);
    silent.add(machine.id);
    return undefined;
  };
  const look: Look = (machine, reference) => {
    const key = `${machine.id} ${reference}`;
    const known = asked.get(key) ?? ask(machine, reference);
    asked.set(key, known);
    return known;
  };
  const questions = new Map<string, Promise<Found | undefined>>();
  const pulls = new Map<string, Promise<void>>();
  await Promise.all(
    wantedImages(view, project, change.services).map(async (asks) => {
      let holders = await holdersOf(asks, look);
      const wanted = { ...asks, eligible: asks.eligible.filter(({ id }) => !silent.has(id)) };
      const { service, reference, eligible, platform } = wanted;
      let found: Found | undefined;
      const isMissing = holders.size === 0;
      const mayAsk = wanted.policy !== 'never' && wanted.policy !== 'build' && eligible.length > 0;
      if (mayAsk && (isMissing || wantsNewer(wanted.policy, holders, view.nowMs))) {
        found = await once(questions, reference, () => askRegistry(wanted, components));
        const isHere = found !== undefined && hasDigest(holders, found.digest);
        if (!isHere && !change.mayPull) {
          notes.push(`service ${service}: image ${reference} would be pulled`);
        } else if (found === undefined) {
          // No digest to be had: what a pull brings now is what the tag means.
          await once(pulls, `${reference} ${platform ?? ''}`, () =>
            pullSomewhere(wanted, components),
          );
          for (const { id } of eligible) asked.delete(`${id} ${reference}`);
          holders = await holdersOf(wanted, look);
        }
      } else if (mayAsk && hasOtherPlatforms(wanted, holders)) {
        // Which further machines may run it, only the registry knows; without it they may not.
        const chosen = first(wanted, holders)?.digests[0];
        const all = await once(questions, reference, () =>
          askRegistry(wanted, components, optionalMs).catch(() => undefined),
        );
        if (all?.digest === chosen) found = all;
      }
      images[service] = resolved(wanted, holders, found);
      presence.set(service, present(images[service], holders));
    }),
  );
  return { images, notes: notes.sort(), presence, silent };
}

type Look = (machine: MachineView, reference: string) => Promise<Held | undefined>;

/** The work of that name, begun only once. */
function once<T>(known: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const running = known.get(key) ?? work();
  known.set(key, running);
  return running;
}

/**
 * Makes the images present where the change has placed replicas, so that what cannot be had on a
 * machine is said before the change and not by it.
 * @throws TscError E_IMAGE_NOT_FOUND, E_REGISTRY_REFUSED
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
    const here = facts.presence.get(wanted.service) ?? new Set();
    for (const id of targets.get(wanted.service) ?? []) {
      const machine = view.machines.get(id);
      if (machine?.liveness !== 'reachable' || !machine.isAble || here.has(id)) continue;
      // It pulls by itself when it can; one broken engine must not hold up the others' change.
      if (facts.silent.has(id)) continue;
      const image = facts.images[wanted.service];
      const key = `${id} ${wanted.reference}`;
      if (!pulls.has(key)) pulls.set(key, pullOn(machine, wanted, components, image));
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

/** Whether the policy wants what the registry has now, although the image is here. */
function wantsNewer(policy: string | undefined, holders: Holders, nowMs: number): boolean {
  if (policy === 'always') return true;
  const everyMs = refreshMs(policy);
  if (everyMs === undefined) return false;
  return [...holders.values()].every(
    // Where the engine does not say, it may be as old as it likes.
    ({ taggedMs }) => taggedMs === 0 || taggedMs + everyMs <= nowMs,
  );
}

/** How old the image may be: `daily`, `weekly`, `every_<duration>`. */
function refreshMs(policy: string | undefined): number | undefined {
  if (policy === 'daily') return durationMs('24h');
  if (policy === 'weekly') return durationMs('168h');
  return policy?.startsWith('every_') ? durationMs(policy.slice('every_'.length)) : undefined;
}

async function holdersOf({ eligible, reference }: Wanted, look: Look): Promise<Holders> {
  const all = await Promise.all(
    eligible.map(async (machine) => [machine.id, await look(machine, reference)] as const),
  );
  return new Map(all.flatMap(([machine, held]) => (held === undefined ? [] : [[machine, held]])));
}

function first({ eligible }: Wanted, holders: Holders): Held | undefined {
  const machine = eligible.find(({ id }) => holders.has(id));
  const held = machine && holders.get(machine.id);
  if (held === undefined || held.digests.length > 0) return held;
  // A copy that was pushed here has no digest of its own; the one it was copied from may.
  const digests = [...holders.values()].find(
    (other) => other.id === held.id && other.digests.length > 0,
  )?.digests;
  return { ...held, digests: digests ?? [] };
}

function hasDigest(holders: Holders, digest: string): boolean {
  return [...holders.values()].some(({ digests }) => digests.includes(digest));
}

/** Whether machines that may run it are of a platform on which nobody has it. */
function hasOtherPlatforms(wanted: Wanted, holders: Holders): boolean {
  if (wanted.platform !== undefined || first(wanted, holders)?.digests.length === 0) return false;
  const known = new Set(
    wanted.eligible.filter(({ id }) => holders.has(id)).map(({ platform }) => platform),
  );
  return wanted.eligible.some(({ platform }) => !known.has(platform));
}

/** What the reference means, on each platform. */
function resolved(wanted: Wanted, holders: Holders, found: Found | undefined): ResolvedImage {
  const { reference, eligible } = wanted;
  const digest = found?.digest ?? digestOf(reference) ?? first(wanted, holders)?.digests[0];
  const chosen = first(wanted, holders);
  const ids: Record<string, string> = {};
  for (const { id, platform } of eligible) {
    const held = holders.get(id);
    // As on the first of the machines that have it; what the tag meant elsewhere is another image.
    const isMeant =
      digest === undefined ||
      held?.digests.includes(digest) === true ||
      (found === undefined && held?.id === chosen?.id);
    if (held !== undefined && isMeant) ids[platform] ??= held.id;
  }
  if (digest === undefined) return { reference, ids };
  const platforms = found?.platforms ?? Object.keys(ids);
  return { reference, ids, digests: Object.fromEntries(platforms.map((one) => [one, digest])) };
}

/** Machines on which nothing has to be pulled. */
function present(image: ResolvedImage, holders: Holders): ReadonlySet<MachineId> {
  const digests = Object.values(image.digests ?? {});
  const ids = Object.values(image.ids);
  const isIt = ({ id, digests: own }: Held): boolean =>
    digests.length === 0 || ids.includes(id) || own.some((digest) => digests.includes(digest));
  return new Set([...holders].flatMap(([machine, held]) => (isIt(held) ? [machine] : [])));
}

async function inspect(
  machine: MachineId,
  reference: string,
  { docker, log }: ImageComponents,
): Promise<Held | undefined | typeof noAnswer> {
  try {
    const engine = await docker(machine);
    const inspected = engine.getImage(reference).inspect();
    // The types of dockerode know no signal here; the late answer of a hung engine is dropped.
    const { Id, RepoDigests, ...rest } = await Promise.race([inspected, late(inspectMs)]);
    const digests = (RepoDigests ?? [])
      .flatMap((name) => digestOf(name) ?? [])
      .filter((digest) => RepoDigests.includes(pinnedReference(reference, digest) ?? ''));
    return { id: Id, digests: digests.sort(), taggedMs: taggedMs(rest) };
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'statusCode') === 404) return undefined;
    log.warn('an engine could not be asked for an image', { machine, reference, error });
    return noAnswer;
  }
}

/** `Metadata.LastTagTime`, which dockerode's types do not know. */
function taggedMs(image: object): number {
  const metadata: unknown = Reflect.get(image, 'Metadata');
  const time: unknown =
    typeof metadata === 'object' && metadata !== null ? Reflect.get(metadata, 'LastTagTime') : '';
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(ms) || ms < 0 ? 0 : ms;
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
    if (cause instanceof TscError && cause.code === 'E_REGISTRY_REFUSED') throw cause;
    if (wanted.policy === 'build') throw notBuilt(wanted, 'no machine that may run it', cause);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TscError(
      'E_IMAGE_NOT_FOUND',
      `service ${wanted.service}: image "${wanted.reference}" is on no machine that may run it, ` +
        `and cannot be pulled: ${why}`,
      { hint: 'is the name right? Nothing has been changed', cause },
    );
  }
}

/** Policy "build": the file says how the image is made, and no registry is asked for it. */
function notBuilt({ service, reference }: Wanted, where: string, cause: unknown): TscError {
  return new TscError(
    'E_IMAGE_NOT_FOUND',
    `service ${service}: its image "${reference}" is built from the file, and is not on ${where}`,
    {
      hint: `run docker compose build ${service} first: up brings it from the Docker engine here. Nothing has been changed`,
      cause,
    },
  );
}

async function pullOn(
  machine: MachineView,
  wanted: Wanted,
  { docker, authFor, log }: ImageComponents,
  image: ResolvedImage | undefined,
): Promise<void> {
  const { service, reference, policy, platform } = wanted;
  log.info('making an image available', { machine: machine.name, reference });
  const auth = authFor(reference);
  const resolvedId = image?.ids[machine.platform];
  try {
    const engine = await docker(machine.id);
    const request = {
      reference,
      policy,
      platform,
      resolvedId,
      digest: digestFor(image, machine.platform),
      machineName: machine.name,
      // The user has just asked for what the tag means now: here it means that from now on.
      movesTag: true,
      ...(auth === undefined ? {} : { auth }),
    };
    await ensureImage(engine, request, log);
  } catch (cause) {
    if (resolvedId !== undefined && isEngineDown(cause)) {
      log.warn('an engine is away; it pulls later', { machine: machine.name, reference });
      return;
    }
    if (isRegistryRefusal(cause)) throw registryRefused(service, reference, auth, cause);
    if (policy === 'build') throw notBuilt(wanted, `machine ${machine.name}`, cause);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TscError('E_IMAGE_NOT_FOUND', `service ${service} on ${machine.name}: ${why}`, {
      hint: `load the image there, or keep the service off that machine with x-machines. Nothing has been changed`,
      cause,
    });
  }
}
