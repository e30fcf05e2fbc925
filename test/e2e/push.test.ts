/**
 * Pushes between real engines: the classic store and the containerd store of Docker 28.5, and
 * 20.10, each as source and as target. What a machine holds is read from its engine.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import * as http from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pushImages } from '../../src/client/push.ts';
import { type Digest, digestOf, isDigest } from '../../src/images/digest.ts';
import { configEntry, headerEntry, layerEntry } from '../../src/images/protocol.ts';
import { type LabImage, loadImages } from '../lab/images.ts';
import { Lab, labUnavailable } from '../lab/lab.ts';
import { type EngineKind, noise, PushLab, twoVersions } from './push-lab.ts';
import { testFolder } from './test-folder.ts';

const all: readonly EngineKind[] = ['classic', 'containerd', 'old'];
const reason = (await labUnavailable('28.5')) ?? (await labUnavailable('20.10'));
if (reason !== undefined) process.stderr.write(`skipped: pushes between engines: ${reason}\n`);

describe.skipIf(reason !== undefined)('push between engines', () => {
  let lab: PushLab;
  beforeAll(async () => {
    lab = await PushLab.create(all);
  });
  afterAll(async () => {
    await lab?.destroy();
    expect(Lab.leftovers().filter(({ lab: name }) => name === lab?.name)).toEqual([]);
  });

  describe.each(all)('from an engine of kind %s', (from) => {
    const others = all.filter((kind) => kind !== from);
    const name = `web-${from}`;
    const baseBytes = from === 'classic' ? 99_000_000 : 18_000_000;
    let v1: LabImage;
    let v2: LabImage;
    beforeAll(async () => {
      ({ v1, v2 } = await twoVersions(name, baseBytes));
      await loadImages(lab.machine(from), [v1, v2]);
    });

    test('machines that have nothing get the whole image', async () => {
      const { results, notes } = await lab.push(from, v1.name, others);
      expect(notes).toEqual([]);
      expect(results.map(({ outcome, error }) => error ?? outcome)).toEqual(['loaded', 'loaded']);
      for (const { sentBytes } of results) {
        expect(sentBytes).toBeGreaterThan(baseBytes);
        expect(sentBytes).toBeLessThan(baseBytes + 1_200_000);
      }
    });

    test('a changed last layer of 1 MB is all that is sent, and the identity is the same', async () => {
      const { results, notes } = await lab.push(from, v2.name, others);
      expect(notes).toEqual([]);
      expect(results.map(({ outcome }) => outcome)).toEqual(['loaded', 'loaded']);
      for (const { sentBytes, sentLayerCount, layerCount, configDigest } of results) {
        expect(sentBytes).toBeLessThan(1_200_000);
        expect(sentBytes).toBeGreaterThan(1_000_000);
        expect({ sentLayerCount, layerCount }).toEqual({ sentLayerCount: 1, layerCount: 10 });
        expect(configDigest).toBe(v2.id);
      }
      const app = createHash('sha256')
        .update(noise(`${name} v2`, 1_000_000))
        .digest('hex');
      const below = createHash('sha256')
        .update(noise(`${name} 0`, baseBytes / 9))
        .digest('hex');
      for (const kind of all) {
        expect([kind, await lab.configOf(kind, v2.name)]).toEqual([kind, v2.id]);
        expect(await lab.hashOfFile(kind, v2.name, '/app')).toBe(app);
        expect(await lab.hashOfFile(kind, v2.name, '/layer0')).toBe(below);
      }
    });

    test('what is there already is not sent again, and a new name is only set', async () => {
      const again = await lab.push(from, v2.name, others);
      expect(again.results.map(({ outcome, sentBytes }) => [outcome, sentBytes])).toEqual([
        ['present', 0],
        ['present', 0],
      ]);
      await lab.machine(from).execOk(['docker', 'tag', v2.name, `${name}:latest`]);
      const named = await lab.push(from, name, others);
      expect(named.results.map(({ outcome, sentBytes }) => [outcome, sentBytes])).toEqual([
        ['tagged', 0],
        ['tagged', 0],
      ]);
      for (const kind of others) expect(await lab.configOf(kind, name)).toBe(v2.id);
    });

    test('a moved tag is pushed as what it means now', async () => {
      await lab.machine(from).execOk(['docker', 'tag', v1.name, `${name}:latest`]);
      await lab.push(from, name, others);
      for (const kind of others) expect(await lab.configOf(kind, name)).toBe(v1.id);
    });

    test('the source keeps no tag of the push', async () => {
      expect((await lab.imagesOf(from)).filter((line) => line.includes('tsc-push'))).toEqual([]);
    });

    test('an engine that does not reach us is read by save, and only what is missing is sent', async () => {
      const changed = await twoVersions(`${name}-saved`, 9_000_000);
      await loadImages(lab.machine(from), [changed.v1, changed.v2]);
      const folder = testFolder('tsc-compose-push-test-');
      const knownPath = join(folder, 'known.json');
      // This process is outside the machine, so the engine's loopback is another one.
      const push = async (reference: string) => {
        const notes: string[] = [];
        const [result] = await pushImages(
          [{ reference, machines: [lab.machine(others[0] ?? 'old').name] }],
          {
            socketPath: lab.socketOf(from),
            docker: lab.machine(from).docker(),
            knownPath,
            onEvent: (event) => event.type === 'note' && notes.push(event.text),
          },
        );
        return { result, notes };
      };
      try {
        expect((await push(changed.v1.name)).result?.outcome).toBe('loaded');
        const { result, notes } = await push(changed.v2.name);
        expect(notes).toEqual(['the engine does not reach this program; reading the whole image']);
        expect(result?.error).toBeUndefined();
        expect(result).toMatchObject({ outcome: 'loaded', sentLayerCount: 1 });
        expect(result?.sentBytes).toBeLessThan(1_200_000);
        expect(await lab.configOf(others[0] ?? 'old', changed.v2.name)).toBe(changed.v2.id);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  });

  describe.each(all)('a stream that goes wrong on an engine of kind %s', (kind) => {
    const name = `broken-${kind}`;
    let v1: LabImage;
    let v2: LabImage;
    let before: readonly string[];
    beforeAll(async () => {
      ({ v1, v2 } = await twoVersions(name, 9_000_000));
      // The name is in use: it must not move either.
      await loadImages(lab.machine(kind), [{ ...v1, tags: [v1.name, v2.name] }]);
      before = await lab.imagesOf(kind);
    });

    const untouched = async () => {
      expect(await lab.imagesOf(kind)).toEqual(before);
      expect(await lab.configOf(kind, v2.name)).toBe(v1.id);
    };

    test('leaves no tag when the connection breaks in the middle of a layer', async () => {
      const { outgoing, tar } = openLoad(lab, kind);
      const { header, config, layer } = partsOf(v2);
      tar.entry({ name: headerEntry }, JSON.stringify(header));
      tar.entry({ name: configEntry }, config);
      const entry = tar.entry({ name: layerEntry(lastLayer(v2)), size: layer.length });
      entry.on('error', () => undefined);
      entry.write(layer.subarray(0, layer.length / 2));
      await sleep(300);
      outgoing.destroy();
      await waitFor(() => lab.agentLog(kind).includes('image not loaded'));
      await untouched();
    });

    test('leaves no tag when the body ends before the last layer', async () => {
      const { header, config } = partsOf(v2);
      const answer = await sendLoad(lab, kind, [
        [headerEntry, JSON.stringify(header)],
        [configEntry, config],
      ]);
      expect(answer).toMatchObject({ code: 'E_IMAGE_STREAM_BROKEN' });
      await untouched();
    });

    test('leaves no tag when one byte of a layer is wrong', async () => {
      const { header, config, layer } = partsOf(v2);
      const bad = Buffer.from(layer);
      bad[5000] = (bad[5000] ?? 0) ^ 1;
      const answer = await sendLoad(lab, kind, [
        [headerEntry, JSON.stringify(header)],
        [configEntry, config],
        [layerEntry(lastLayer(v2)), bad],
      ]);
      expect(answer).toMatchObject({ code: 'E_IMAGE_STREAM_BROKEN' });
      expect(JSON.stringify(answer)).toContain('has the digest');
      await untouched();
    });

    test('leaves no tag when a layer is not the one that the config names', async () => {
      const { header, config, layer } = partsOf(v2);
      const bad = Buffer.from(layer);
      bad[5000] = (bad[5000] ?? 0) ^ 1;
      for (const compression of ['none', 'gzip'] as const) {
        const bytes = compression === 'gzip' ? gzipSync(bad) : bad;
        const blob = { digest: digestOf(bytes), sizeBytes: bytes.length, compression };
        const lie = { ...header, layers: [{ diffId: lastLayer(v2), blob }] };
        const answer = await sendLoad(lab, kind, [
          [headerEntry, JSON.stringify(lie)],
          [configEntry, config],
          [layerEntry(lastLayer(v2)), bytes],
        ]);
        expect(answer).toMatchObject({ code: 'E_IMAGE_STREAM_BROKEN' });
        await untouched();
      }
    });

    test('refuses at once when layers are neither sent nor there', async () => {
      const { v2: other } = await twoVersions(`${name}-unknown`, 9_000_000);
      const { header, config, layer } = partsOf(other);
      const answer = await sendLoad(lab, kind, [
        [headerEntry, JSON.stringify(header)],
        [configEntry, config],
        [layerEntry(lastLayer(other)), layer],
      ]);
      expect(answer).toMatchObject({ code: 'E_IMAGE_LAYERS_MISSING' });
      await untouched();
    });

    test('and a whole stream after all that loads, twice at the same time', async () => {
      const { header, config, layer } = partsOf(v2);
      const send = () =>
        sendLoad(lab, kind, [
          [headerEntry, JSON.stringify(header)],
          [configEntry, config],
          [layerEntry(lastLayer(v2)), layer],
        ]);
      expect(await Promise.all([send(), send()])).toMatchObject([
        { configDigest: v2.id },
        { configDigest: v2.id },
      ]);
      expect(await lab.configOf(kind, v2.name)).toBe(v2.id);
    });
  });
});

type Entries = readonly (readonly [name: string, content: string | Buffer])[];

function lastLayer(image: LabImage): Digest {
  const diffId = image.layers.at(-1)?.diffId;
  if (!isDigest(diffId)) throw new Error('an image without layers');
  return diffId;
}

/** What a client that has only the last layer to send would send. */
function partsOf(image: LabImage) {
  const layer = readFileSync(image.layers.at(-1)?.file ?? '');
  const config = Buffer.from(image.configJson);
  const header = {
    configDigest: image.id,
    platform: 'linux/amd64',
    diffIds: image.layers.map(({ diffId }) => diffId),
    references: [image.name],
    configSizeBytes: config.length,
    layers: [
      {
        diffId: lastLayer(image),
        blob: { digest: lastLayer(image), sizeBytes: layer.length, compression: 'none' },
      },
    ],
  };
  return { header, config, layer };
}

function openLoad(lab: PushLab, kind: EngineKind) {
  const outgoing = http.request({
    socketPath: lab.socketOf(kind),
    method: 'POST',
    path: `/v1/machines/${lab.machine(kind).name}/images/load`,
    agent: false,
  });
  outgoing.on('error', () => undefined);
  const tar = pack();
  tar.on('error', () => undefined);
  tar.pipe(outgoing);
  return { outgoing, tar };
}

async function sendLoad(lab: PushLab, kind: EngineKind, entries: Entries): Promise<unknown> {
  const { outgoing, tar } = openLoad(lab, kind);
  for (const [name, content] of entries) tar.entry({ name }, content);
  tar.finalize();
  const [response] = (await once(outgoing, 'response')) as [http.IncomingMessage];
  return JSON.parse(await text(response)) as unknown;
}

async function waitFor(isSo: () => boolean): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!isSo()) {
    if (Date.now() > endMs) throw new Error('it did not happen within 10 s');
    await sleep(20);
  }
}
