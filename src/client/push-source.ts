/**
 * The engine that a push takes images from: says what an image is, and hands out the layers that
 * some target lacks, each once. By a push to our own sink where the engine reaches it (only the
 * wanted layers are read), else by `docker save` (all are read). Leaves no tag behind.
 */

import { readFile } from 'node:fs/promises';
import type Docker from 'dockerode';
import { type Digest, isDigest } from '../images/digest.ts';
import { type Manifest, parseConfig, parseManifest } from '../images/manifest.ts';
import { platformText } from '../images/platform.ts';
import type { ImageIdentity } from '../images/protocol.ts';
import { TscError } from '../lib/errors.ts';
import type { KnownBlobs } from './push-known.ts';
import { saveImage } from './push-save.ts';
import { PushSink, type SkipBlob } from './push-sink.ts';
import type { Spool, SpooledBlob } from './push-spool.ts';

export interface SourceImage extends ImageIdentity {
  /** How the engine calls it; stays right when the name is moved meanwhile. */
  readonly engineId: string;
  /** Of all layers unpacked, as the engine tells it. */
  readonly imageBytes: number;
}

export interface ExportedImage {
  readonly config: SpooledBlob;
  /** By diff id; at least the wanted ones. */
  readonly layers: ReadonlyMap<Digest, SpooledBlob>;
}

export interface SourceComponents {
  readonly docker: Docker;
  readonly spool: Spool;
  readonly known: KnownBlobs;
  /** Told what the user may want to know: that the slow way had to be taken. */
  readonly onNote: (note: string) => void;
  readonly signal?: AbortSignal | undefined;
}

interface EngineFacts {
  readonly isContainerd: boolean;
  /** Since API 1.46 one platform of several can be asked for. */
  readonly takesPlatform: boolean;
}

export class ImageSource {
  readonly #c: SourceComponents;
  #facts: EngineFacts | undefined;
  /** Turned off when the engine does not share our loopback. */
  #maySink = true;

  constructor(components: SourceComponents) {
    this.#c = components;
  }

  /** @returns undefined when the engine has no such image */
  async describe(reference: string): Promise<SourceImage | undefined> {
    const found = await this.#inspect(reference);
    if (found === undefined) return undefined;
    const { Id, Os, Architecture, Size, RootFS } = found;
    // Since 20.10 there is a variant, which dockerode's types do not know.
    const variant: unknown = Reflect.get(found, 'Variant');
    const platform = platformText(Os, Architecture, typeof variant === 'string' ? variant : '');
    const diffIds = (RootFS.Layers ?? []).filter(isDigest);
    const image = { engineId: Id, platform, diffIds, imageBytes: Size };
    return { ...image, configDigest: await this.#configDigest(image) };
  }

  /**
   * Takes config and wanted layers out of the engine.
   * @throws TscError E_IMAGE_EXPORT
   */
  async export(image: SourceImage, wanted: ReadonlySet<Digest>): Promise<ExportedImage> {
    const exported =
      (await this.#exportByPush(image, wanted)) ?? (await this.#exportBySave(image, wanted));
    for (const diffId of wanted) {
      if (!exported.layers.has(diffId)) {
        throw new TscError('E_IMAGE_EXPORT', `the engine did not hand out the layer ${diffId}`);
      }
    }
    return exported;
  }

  async #inspect(reference: string): Promise<Docker.ImageInspectInfo | undefined> {
    try {
      return await this.#c.docker.getImage(reference).inspect();
    } catch (error) {
      if (error instanceof Error && Reflect.get(error, 'statusCode') === 404) return undefined;
      throw error;
    }
  }

  /** In the classic store it is the id; the containerd store tells it only in the manifest. */
  async #configDigest(image: Omit<SourceImage, 'configDigest'>): Promise<Digest> {
    const { engineId, platform } = image;
    const { isContainerd } = await this.#engineFacts();
    if (!isContainerd && isDigest(engineId)) return engineId;
    const key = `${engineId} ${platform}`;
    const known = this.#c.known.configOf(key);
    if (known !== undefined) return known;
    // A sink that has everything gets the manifest alone, and no layer is read.
    const manifest = await this.#push(image, () => 1);
    let configDigest = manifest?.configDigest;
    if (manifest !== undefined) this.#remember(manifest, image.diffIds);
    if (configDigest === undefined) {
      const saved = await saveImage(this.#c.docker, {
        engineId,
        spool: this.#c.spool,
        isUnneeded: () => false,
        signal: this.#c.signal,
      });
      configDigest = saved.config.digest;
    }
    this.#c.known.addConfig(key, configDigest);
    return configDigest;
  }

  async #exportByPush(
    image: SourceImage,
    wanted: ReadonlySet<Digest>,
  ): Promise<ExportedImage | undefined> {
    const { known, spool } = this.#c;
    const manifest = await this.#push(image, (digest) => {
      const blob = known.get(digest);
      return blob === undefined || wanted.has(blob.diffId) ? undefined : blob.sizeBytes;
    });
    if (manifest === undefined) return undefined;
    const config = spool.get(image.configDigest);
    const isRight =
      manifest.configDigest === image.configDigest &&
      manifest.layers.length === image.diffIds.length &&
      config !== undefined;
    if (!isRight) {
      this.#c.onNote('the engine pushed another image than it was asked for; reading all of it');
      return undefined;
    }
    this.#remember(manifest, image.diffIds);
    const layers = new Map<Digest, SpooledBlob>();
    for (const [index, { digest }] of manifest.layers.entries()) {
      const blob = spool.get(digest);
      const diffId = image.diffIds[index];
      if (blob === undefined || diffId === undefined || !wanted.has(diffId)) continue;
      layers.set(diffId, await spool.withoutZstd(blob));
    }
    return { config, layers };
  }

  #remember(manifest: Manifest, diffIds: readonly Digest[]): void {
    for (const [index, blob] of manifest.layers.entries()) {
      const diffId = diffIds[index];
      if (diffId !== undefined) this.#c.known.add(diffId, blob);
    }
  }

  /** Pushes to the sink. @returns the manifest, or undefined when that way is closed */
  async #push(
    image: Pick<SourceImage, 'engineId' | 'platform'>,
    skip: SkipBlob,
  ): Promise<Manifest | undefined> {
    if (!this.#maySink) return undefined;
    const { docker, spool, onNote, signal } = this.#c;
    const sink = await PushSink.open(spool, skip);
    const name = `${sink.repository}:${sink.tag}`;
    try {
      await docker.getImage(image.engineId).tag({ repo: sink.repository, tag: sink.tag });
      const options = {
        tag: sink.tag,
        // An anonymous push still carries the header.
        authconfig: { username: '', password: '', serveraddress: '' },
        ...(signal === undefined ? {} : { abortSignal: signal }),
        ...((await this.#engineFacts()).takesPlatform
          ? { platform: platformJson(image.platform) }
          : {}),
      };
      const stream = await docker.getImage(sink.repository).push(options);
      const failure = await failureOf(docker, stream);
      signal?.throwIfAborted();
      if (failure === undefined && sink.manifest !== undefined) return parseManifest(sink.manifest);
      this.#maySink = false;
      onNote(
        sink.wasReached
          ? `the engine did not push (${failure ?? 'no manifest'}); reading the whole image`
          : 'the engine does not reach this program; reading the whole image',
      );
      return undefined;
    } finally {
      await sink.close();
      await this.#untag(image.engineId, name);
    }
  }

  /** Removes the tag of the push, unless the image has lost all its other names meanwhile. */
  async #untag(engineId: string, name: string): Promise<void> {
    const tags = (await this.#inspect(engineId))?.RepoTags ?? [];
    if (!tags.includes(name)) return;
    if (tags.length === 1) {
      this.#c.onNote(`the image has no name any more but ${name}, which is kept`);
      return;
    }
    await this.#c.docker.getImage(name).remove({ noprune: true });
  }

  async #exportBySave(image: SourceImage, wanted: ReadonlySet<Digest>): Promise<ExportedImage> {
    const { docker, spool, known } = this.#c;
    const unneeded = new Set(image.diffIds.filter((diffId) => !wanted.has(diffId)));
    const saved = await saveImage(docker, {
      engineId: image.engineId,
      spool,
      isUnneeded: (digest) => unneeded.has(known.get(digest)?.diffId ?? digest),
      signal: this.#c.signal,
    });
    const facts = parseConfig(await readFile(saved.config.path, 'utf8'));
    if (saved.config.digest !== image.configDigest || facts === undefined) {
      throw new TscError('E_IMAGE_EXPORT', 'the engine saved another image than it was asked for');
    }
    const layers = new Map<Digest, SpooledBlob>();
    for (const [index, diffId] of facts.diffIds.entries()) {
      const blob = saved.layers[index];
      if (blob === undefined || !wanted.has(diffId)) continue;
      known.add(diffId, blob);
      layers.set(diffId, await spool.withoutZstd(blob));
    }
    return { config: saved.config, layers };
  }

  async #engineFacts(): Promise<EngineFacts> {
    if (this.#facts === undefined) {
      const { docker } = this.#c;
      // dockerode types the answer of `info` as `any`.
      const [info, version]: readonly [{ readonly DriverStatus?: unknown }, Docker.DockerVersion] =
        await Promise.all([docker.info(), docker.version()]);
      const isContainerd = JSON.stringify(info.DriverStatus ?? []).includes(
        'io.containerd.snapshotter.v1',
      );
      const [major = 0, minor = 0] = version.ApiVersion.split('.').map(Number);
      const takesPlatform = isContainerd && (major > 1 || minor >= 46);
      this.#facts = { isContainerd, takesPlatform };
    }
    return this.#facts;
  }
}

function platformJson(platform: string): string {
  const [os, architecture, variant] = platform.split('/');
  return JSON.stringify({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** Why a push failed, in the engine's words, which come in an answer with status 200. */
function failureOf(docker: Docker, stream: NodeJS.ReadableStream): Promise<string | undefined> {
  return new Promise((resolve) => {
    docker.modem.followProgress(stream, (error: Error | null, lines: readonly unknown[]) => {
      if (error !== null) return resolve(error.message);
      const failures = lines.map((line) =>
        typeof line === 'object' && line !== null ? (Reflect.get(line, 'error') as unknown) : '',
      );
      resolve(failures.find((one) => typeof one === 'string' && one !== '') as string | undefined);
    });
  });
}
