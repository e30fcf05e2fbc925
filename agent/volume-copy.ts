/**
 * Carries a volume's content from one machine's engine to another's, as the tar that the engines
 * themselves make and take, over the agents' streams. On each side a container that never runs
 * mounts the volume, so this works with whatever the engine keeps volumes on. What has arrived is
 * read back and compared by a digest of every entry; only then is the copy a copy.
 */
import { createHash, randomBytes } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type Dockerode from 'dockerode';
import { extract } from 'tar-stream';
import { TscError } from '../src/lib/errors.ts';
import type { ClusterId } from '../src/model/ids.ts';
import { label } from '../src/model/names.ts';
import { engineError } from './engine-errors.ts';

/** Where the containers mount the volume; the tar's names begin with it. */
const mountPoint = '/tsc-compose-volume';
/** What marks these containers among those that agents run for themselves. */
const systemName = 'volume';

export interface VolumeEnd {
  readonly docker: Dockerode;
  readonly machineName: string;
  /** Any image that is there: nothing of it is run. */
  readonly image: string;
}

export interface VolumeCopyOptions {
  readonly cluster: ClusterId;
  readonly volume: string;
  readonly signal: AbortSignal;
}

/** What a volume holds, by all that a copy must have in common with it. */
export interface VolumeContent {
  /** Sum of the digests of all entries: their order means nothing. */
  readonly digest: string;
  readonly entryCount: number;
  readonly sizeBytes: number;
}

/**
 * Copies the content of a volume into the volume of the same name on another machine, which is
 * empty, and reads it back.
 * @throws TscError E_VOLUME_COPY when what is read back differs
 */
export async function copyVolume(
  from: VolumeEnd,
  to: VolumeEnd,
  options: VolumeCopyOptions,
): Promise<VolumeContent> {
  return withMount(from, options, true, (source) =>
    withMount(to, options, false, async (target) => {
      const sent = await transfer(source, target, options, from.machineName);
      const arrived = await readContent(await archiveOf(target, to.machineName), options.signal);
      if (sent.digest !== arrived.digest || sent.entryCount !== arrived.entryCount) {
        throw new TscError(
          'E_VOLUME_COPY',
          `volume ${options.volume} did not arrive on ${to.machineName} as it is on ${from.machineName}`,
          { hint: 'nothing has been changed; does something else write into it?' },
        );
      }
      return arrived;
    }),
  );
}

/** Removes containers that an interrupted copy of the volume left behind. */
export async function removeLeftMounts(
  { docker }: Pick<VolumeEnd, 'docker'>,
  { cluster, volume }: Pick<VolumeCopyOptions, 'cluster' | 'volume'>,
): Promise<void> {
  const filters = JSON.stringify({
    label: [`${label.system}=${systemName}`, `${label.cluster}=${cluster}`],
    volume: [volume],
  });
  for (const { Id } of await docker.listContainers({ all: true, filters })) {
    await docker.getContainer(Id).remove({ force: true });
  }
}

async function withMount<T>(
  { docker, image, machineName }: VolumeEnd,
  { cluster, volume }: VolumeCopyOptions,
  isReadOnly: boolean,
  work: (container: Dockerode.Container) => Promise<T>,
): Promise<T> {
  const container = await docker
    .createContainer({
      name: `tsc-compose-volume-${randomBytes(4).toString('hex')}`,
      Image: image,
      // It is never started; an engine wants to know what it would start.
      Entrypoint: ['none'],
      Labels: { [label.system]: systemName, [label.cluster]: cluster },
      HostConfig: {
        NetworkMode: 'none',
        Mounts: [
          {
            Type: 'volume',
            Source: volume,
            Target: mountPoint,
            ReadOnly: isReadOnly,
            // The image's own files at that place must not get into the volume.
            VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: '', Options: {} } },
          },
        ],
      },
    })
    .catch((cause: unknown) => {
      throw engineError(cause, `mount volume ${volume} on ${machineName}`);
    });
  try {
    return await work(container);
  } finally {
    // Without `v`: the volume is what this is about.
    await container.remove({ force: true }).catch(() => undefined);
  }
}

async function archiveOf(container: Dockerode.Container, machineName: string): Promise<Readable> {
  try {
    // The engine answers with a stream of Node's own.
    return (await container.getArchive({ path: mountPoint })) as Readable;
  } catch (cause) {
    throw engineError(cause, `read a volume on ${machineName}`);
  }
}

/** Sends the tar and takes its digest on the way. */
async function transfer(
  source: Dockerode.Container,
  target: Dockerode.Container,
  { signal, volume }: VolumeCopyOptions,
  machineName: string,
): Promise<VolumeContent> {
  const archive = await archiveOf(source, machineName);
  const outgoing = new PassThrough();
  const inspected = new PassThrough();
  const content = readContent(inspected, signal);
  const taken = target.putArchive(outgoing, { path: '/' });
  const split = pipeline(
    archive,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        if (!inspected.write(chunk)) await drained(inspected);
        yield chunk;
      }
      inspected.end();
    },
    outgoing,
    { signal },
  );
  try {
    const [found] = await Promise.all([content, taken, split]);
    return found;
  } catch (cause) {
    inspected.destroy();
    outgoing.destroy();
    await Promise.allSettled([content, taken, split]);
    if (signal.aborted || cause instanceof TscError) throw cause;
    throw engineError(cause, `copy volume ${volume}`);
  }
}

function drained(stream: PassThrough): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('drain', resolve);
    stream.once('close', () => reject(new Error('the copy was broken off')));
  });
}

/** Reads a tar to its end. */
export async function readContent(tar: Readable, signal: AbortSignal): Promise<VolumeContent> {
  const entries = extract();
  const fed = pipeline(tar, entries, { signal });
  let sum = 0n;
  let entryCount = 0;
  let sizeBytes = 0;
  try {
    for await (const entry of entries) {
      const { name, type, mode, uid, gid, mtime, linkname } = entry.header;
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of entry) {
        // An extract without an encoding yields buffers.
        const bytes = chunk as Buffer;
        hash.update(bytes);
        size += bytes.length;
      }
      // Folders change their time when they are filled.
      const seconds = type === 'file' ? Math.floor((mtime?.getTime() ?? 0) / 1000) : 0;
      const rights = (mode ?? 0) & 0o7777;
      const facts = [name, type, rights, uid, gid, size, seconds, linkname ?? ''];
      const digest = createHash('sha256')
        .update(JSON.stringify([...facts, hash.digest('hex')]))
        .digest('hex');
      sum = BigInt.asUintN(256, sum + BigInt(`0x${digest}`));
      entryCount += 1;
      sizeBytes += size;
    }
    await fed;
  } catch (error) {
    entries.destroy();
    await fed.catch(() => undefined);
    throw error;
  }
  return { digest: sum.toString(16), entryCount, sizeBytes };
}
