/**
 * Images for tests, made without a registry: stand-ins for the well-known ones (stand-ins.ts) and
 * images of a test's own on top of them or of nothing. They go to an engine as an archive of the
 * kind `docker save` writes, which every engine and both image stores read.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';
import { TscError } from '../../src/lib/errors.ts';
import { type ImageFiles, type Layer, makeLayer } from './image-layers.ts';
import type { Machine } from './machine.ts';
import { standIn } from './stand-ins.ts';

/** The part of an image's config that says how to run it, in the words of the image format. */
export interface ImageConfig {
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Env?: readonly string[];
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Healthcheck?: {
    readonly Test: readonly string[];
    /** Nanoseconds, as in the format. */
    readonly Interval?: number;
    readonly Timeout?: number;
    readonly Retries?: number;
    readonly StartPeriod?: number;
  };
}

export interface ImageSpec {
  /** Name with tag; the tag is `latest` when left out. */
  readonly name: string;
  readonly tags?: readonly string[];
  /** The image below, by name for a stand-in; nothing (`FROM scratch`) when left out. */
  readonly from?: string | LabImage;
  /** Files of one layer, or of several. */
  readonly files?: ImageFiles | readonly ImageFiles[];
  readonly config?: ImageConfig;
}

export interface LabImage {
  readonly name: string;
  /** All names it gets, `name` among them. */
  readonly tags: readonly string[];
  /** Digest of the config: what engines with the classic image store show as its id. */
  readonly id: string;
  readonly config: ImageConfig;
  readonly configJson: string;
  readonly layers: readonly Layer[];
}

/** 1 MiB: big layers go over in a hundred steps and not in thousands. */
const chunkBytes = 1 << 20;

/** Makes an image. The same spec makes the same image, to the byte. */
export async function buildImage(spec: ImageSpec): Promise<LabImage> {
  const base = typeof spec.from === 'string' ? await standardImage(spec.from) : spec.from;
  const lists: readonly ImageFiles[] = isSeveral(spec.files) ? spec.files : [spec.files ?? {}];
  const layers = [...(base?.layers ?? [])];
  for (const files of lists) {
    if (Object.keys(files).length > 0) layers.push(await makeLayer(files));
  }
  const config = mergeConfig(base?.config ?? {}, spec.config ?? {});
  const configJson = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map((_, index) => ({
      created: '1970-01-01T00:00:00Z',
      created_by: `layer ${index + 1} of ${spec.name}`,
    })),
  });
  const id = `sha256:${createHash('sha256').update(configJson).digest('hex')}`;
  const tags = [spec.name, ...(spec.tags ?? [])].map(withTag);
  return { name: withTag(spec.name), tags, id, config, configJson, layers };
}

/** One of the stand-ins for well-known images: busybox, redis:7, caddy:2, node:24. */
export async function standardImage(name: string): Promise<LabImage> {
  return buildImage(await standIn(withTag(name)));
}

/** Puts images on machines, on all of them at the same time. Images that are there stay. */
export async function loadImages(
  machines: Machine | readonly Machine[],
  names: readonly (string | LabImage)[],
): Promise<readonly LabImage[]> {
  const images = await Promise.all(
    names.map(async (name) => (typeof name === 'string' ? standardImage(name) : name)),
  );
  const targets = isSeveral(machines) ? machines : [machines];
  await Promise.all(targets.map((machine) => loadOn(machine, images)));
  return images;
}

/** The archive of some images; layers that they share are in it once. */
export function imageArchive(images: readonly LabImage[]): Readable {
  const tar = pack();
  const archive = new PassThrough({ highWaterMark: chunkBytes });
  Promise.all([writeArchive(tar, images), pipeline(tar, archive)]).catch((error: unknown) => {
    archive.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  return archive;
}

async function loadOn(machine: Machine, images: readonly LabImage[]): Promise<void> {
  const docker = machine.docker();
  const present = await Promise.all(
    images.map(async ({ tags, id }) => {
      const ids = await Promise.all(
        tags.map((tag) =>
          docker
            .getImage(tag)
            .inspect()
            .then(
              ({ Id }) => Id,
              () => undefined,
            ),
        ),
      );
      return ids.every((one) => one === id);
    }),
  );
  const missing = images.filter((_, index) => present[index] !== true);
  if (missing.length === 0) return;
  const answer = await docker.loadImage(imageArchive(missing), { quiet: true });
  let said = '';
  for await (const chunk of answer) said += String(chunk);
  const failure = said.split('\n').find((line) => line.includes('"error"'));
  if (failure !== undefined) {
    throw new TscError('E_LAB_IMAGE', `${machine.name} does not load images: ${failure.trim()}`);
  }
}

async function writeArchive(tar: Pack, images: readonly LabImage[]): Promise<void> {
  const text = (name: string, content: string) => {
    tar.entry({ name, mtime: new Date(0) }, content);
  };
  const layers = new Map(images.flatMap((image) => image.layers.map((one) => [one.diffId, one])));
  for (const layer of layers.values()) {
    const entry = tar.entry({
      name: layerName(layer),
      size: layer.sizeBytes,
      mtime: new Date(0),
    });
    await pipeline(createReadStream(layer.file, { highWaterMark: chunkBytes }), entry);
  }
  for (const image of images) text(`${hex(image.id)}.json`, image.configJson);
  const manifest = images.map((image) => ({
    Config: `${hex(image.id)}.json`,
    RepoTags: image.tags,
    Layers: image.layers.map(layerName),
  }));
  text('manifest.json', JSON.stringify(manifest));
  tar.finalize();
}

function layerName(layer: Layer): string {
  return `${hex(layer.diffId)}/layer.tar`;
}

function hex(digest: string): string {
  return digest.replace('sha256:', '');
}

function withTag(name: string): string {
  return /:[^/]*$/u.test(name) ? name : `${name}:latest`;
}

/** As a Dockerfile does: a new entrypoint forgets the command below, variables add up. */
function mergeConfig(base: ImageConfig, own: ImageConfig): ImageConfig {
  const { Cmd, ...kept } = base;
  const below = own.Entrypoint !== undefined || Cmd === undefined ? kept : { ...kept, Cmd };
  const env = new Map(
    [...(base.Env ?? []), ...(own.Env ?? [])].map((line) => [line.split('=', 1)[0] ?? '', line]),
  );
  const merged = { ...below, ...own, Env: [...env.values()] };
  const maps = (['ExposedPorts', 'Volumes', 'Labels'] as const).flatMap((key) =>
    base[key] === undefined && own[key] === undefined ? [] : [[key, { ...base[key], ...own[key] }]],
  );
  return { ...merged, ...Object.fromEntries(maps) };
}

function isSeveral<T>(value: T | readonly T[] | undefined): value is readonly T[] {
  return Array.isArray(value);
}
