/**
 * What must hold at any moment, as pure functions of what the engines say. A bound is loose only
 * where the design says so: each part of a cluster that was cut brings the service up for itself,
 * and after healing the surplus goes when the kept copies have served for a while.
 */

export interface Running {
  readonly machine: string;
  readonly id: string;
  readonly service: string;
  readonly slot: string;
  readonly version: string;
}

export interface Moment {
  readonly running: readonly Running[];
  /** Machines that can reach each other and can act; others are in none. */
  readonly components: readonly (readonly string[])[];
  /** The most parts that the cluster was in lately. */
  readonly partCount: number;
  readonly wantedCount: number;
}

/**
 * 1 replica that is being brought up beside the one it replaces, and 1 that is on its way out of
 * service: an update start-first with parallelism 1.
 */
const surgeCount = 2;

/** Sentences about what is wrong at a moment; none when all is well. */
export function violationsAt(moment: Moment): readonly string[] {
  return [...doubledData(moment.running), ...tooMany(moment)];
}

/** A service on a local volume runs at most once, whatever happens. */
function doubledData(running: readonly Running[]): readonly string[] {
  const data = running.filter(({ service }) => service === 'data');
  if (data.length <= 1) return [];
  return [`data runs ${data.length} times: ${data.map(({ machine }) => machine).join(', ')}`];
}

function tooMany({ running, components, partCount, wantedCount }: Moment): readonly string[] {
  return components.flatMap((names) => {
    const count = running.filter(
      ({ service, machine }) => service === 'web' && names.includes(machine),
    ).length;
    const most = (wantedCount + surgeCount) * partCount;
    if (count <= most) return [];
    return [`web runs ${count} times on ${names.join('+')}, at most ${most} are allowed`];
  });
}

/** What keeps the app from being exactly as one definition says; none when it is. */
export function differences(
  running: readonly Running[],
  wanted: {
    readonly machines: readonly string[];
    /** Version to its number of replicas, of all definitions that may be in force. */
    readonly versions: ReadonlyMap<string, number>;
  },
): readonly string[] {
  const found: string[] = [];
  const of = (service: string) => running.filter((one) => one.service === service);
  const versions = new Set(of('web').map(({ version }) => version));
  const [version = 'none'] = versions;
  const replicas = wanted.versions.get(version);
  if (versions.size !== 1) found.push(`web runs in ${versions.size} versions`);
  else if (replicas === undefined) found.push(`web runs in version ${version}, which was replaced`);
  const slots = of('web')
    .map(({ slot }) => Number(slot))
    .sort((a, b) => a - b);
  const expected = Array.from({ length: replicas ?? 0 }, (_, index) => index + 1);
  if (slots.join() !== expected.join()) found.push(`web has slots ${slots.join()}`);
  if (of('data').length !== 1) found.push(`data runs ${of('data').length} times`);
  const askers = of('asker')
    .map(({ machine }) => machine)
    .sort();
  if (askers.join() !== [...wanted.machines].sort().join())
    found.push(`asker runs on ${askers.join()}`);
  return found;
}
