/** An image without a registry: only the layers that a machine lacks are sent. */
import { createCipheriv } from 'node:crypto';
import { tscOk } from '../../lab/agents.ts';
import { buildImage, type LabImage, loadImages } from '../../lab/images.ts';
import { anotherMachine, type Show, seconds } from '../show.ts';

const imageName = 'shop';
/** 99 MB that stay and 1 MB that changes. */
const largeLayerBytes = 99_000_000;
const smallLayerBytes = 1_000_000;
/** What a layer may cost beside its content: tar, framing, config and manifest. */
const mostOverhead = 1.2;

/** One row of `push --format json`. */
interface Pushed {
  readonly machine: string;
  readonly outcome: string;
  readonly sentBytes: number;
  readonly configDigest: string;
}

export async function push(show: Show): Promise<void> {
  const { stage } = show;
  const machine = anotherMachine(show);
  stage.heading(`\`tsc-compose push ${imageName}\`: an image that only ${machine.name} has`);
  stage.say('');
  await pushOne(show, await image(1), largeLayerBytes + smallLayerBytes, 'a new image of 100 MB');
  await pushOne(show, await image(2), smallLayerBytes, 'its last layer of 1 MB changed');
  await stage.pause(4_000);
}

/** Loads the image on one machine and pushes it from there. */
async function pushOne(show: Show, given: LabImage, newBytes: number, what: string): Promise<void> {
  const { stage, checks, lab } = show;
  const machine = anotherMachine(show);
  await loadImages(machine, [given]);
  const startMs = Date.now();
  stage.say(`   ${what}: pushing…`);
  const text = await tscOk(machine, ['push', given.name, '--format', 'json']);
  const tookMs = Date.now() - startMs;
  // The command's own JSON: one array.
  const others = (JSON.parse(text) as Pushed[]).filter((one) => one.machine !== machine.name);
  const sent = others.map((one) => `${megabytes(one.sentBytes)} to ${one.machine}`);
  const isSame = others.every(({ configDigest }) => configDigest === given.id);
  checks.figure(
    `${what}: sent ${sent.join(', ')} in ${seconds(tookMs)}`,
    isSame &&
      others.length === lab.machines.length - 1 &&
      others.every(({ sentBytes }) => sentBytes > 0 && sentBytes < mostOverhead * newBytes),
    `less than ${megabytes(mostOverhead * newBytes)} to each other machine, same digest`,
  );
}

/** The same large layer and another small one. */
function image(version: number): Promise<LabImage> {
  return buildImage({
    name: `${imageName}:latest`,
    files: [
      { '/large': incompressible(largeLayerBytes, 0) },
      { '/small': incompressible(smallLayerBytes, version) },
    ],
    config: { Cmd: ['/large'] },
  });
}

/** Bytes that no compression makes fewer, the same ones for the same seed. */
function incompressible(byteCount: number, seed: number): Uint8Array {
  const key = Buffer.alloc(16, seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(byteCount));
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
