/**
 * Images that only the client has, before `up`: what the engine here has under a service's image
 * is pushed to the machines that may run the service and lack it, so that an image built here needs
 * no registry. What cannot be pushed is said and not fatal: the machines may pull it, and `up`
 * itself refuses what is nowhere.
 */

import type { ImageToPush } from '../client/push.ts';
import { knownBlobsPath } from '../client/push-known.ts';
import type { Project } from '../model/project.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { placeable, refusal } from '../plan/place.ts';
import type { Cli } from './cli.ts';
import { count, say } from './cli.ts';
import { formatSize } from './push-lines.ts';

/**
 * Pushes what is here.
 * @param services those that `up` changes; empty: all of the project
 */
export async function pushForUp(
  cli: Cli,
  project: Project,
  services: readonly string[],
  snapshot: Pick<Snapshot, 'self' | 'machines'>,
): Promise<void> {
  // The one machine's engine is the one that would be asked here.
  if (snapshot.machines.length === 1 && !cli.io.env.DOCKER_HOST) return;
  const images = imagesForUp(project, services, snapshot);
  if (images.length === 0) return;
  const { pushWhatIsHere } = await import('../client/push.ts');
  const results = await pushWhatIsHere(images, {
    socketPath: cli.client.socketPath,
    knownPath: knownBlobsPath(cli.io.env),
    signal: cli.signal,
  });
  const { stderr } = cli.io;
  for (const { reference, machine, outcome, sentBytes, sentLayerCount, error } of results) {
    if (error !== undefined) {
      say(stderr, `note: ${reference} could not be pushed to ${machine}: ${error.message}`);
    } else if (outcome === 'loaded') {
      const what = `${count(sentLayerCount, 'layer')}, ${formatSize(sentBytes)}`;
      say(stderr, `pushed ${reference} to ${machine}: ${what}`);
    }
  }
}

/** Each image once, with the machines on which some service may need it. */
export function imagesForUp(
  project: Project,
  services: readonly string[],
  { machines }: Pick<Snapshot, 'machines'>,
): readonly ImageToPush[] {
  const wanted = new Map<string, Set<string>>();
  const names = services.length > 0 ? services : Object.keys(project.services);
  for (const name of names) {
    const service = project.services[name];
    // "always" asks for what the registry has now, not for what is here.
    if (service?.image === undefined || service.pull_policy === 'always') continue;
    const place = placeable(project.name, name, {
      definition: project,
      image: undefined,
      bound: undefined,
    });
    const targets = wanted.get(service.image) ?? new Set();
    wanted.set(service.image, targets);
    for (const machine of machines) {
      const mayRun = machine.liveness === 'reachable' && refusal(place, machine) === undefined;
      if (mayRun) targets.add(machine.name);
    }
  }
  return [...wanted]
    .map(([reference, targets]) => ({ reference, machines: [...targets] }))
    .filter((image) => image.machines.length > 0);
}
