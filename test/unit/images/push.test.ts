/**
 * The whole way of a push without Docker: the client reads a fake engine (by `docker save`, since
 * nobody pushes to the sink), the agent's real handler feeds another one.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import Docker from 'dockerode';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { forwardRequest } from '../../../agent/api-forward.ts';
import { Images } from '../../../agent/images.ts';
import { createLog } from '../../../agent/log.ts';
import { pushImages, pushWhatIsHere } from '../../../src/client/push.ts';
import { ImageTarget } from '../../../src/client/push-send.ts';
import { Spool } from '../../../src/client/push-spool.ts';
import { type Digest, digestOf, hexOf } from '../../../src/images/digest.ts';

interface FakeImage {
  readonly config: string;
  readonly layers: readonly Buffer[];
}

function imageOf(...layers: readonly (string | Buffer)[]): FakeImage {
  const all = layers.map((layer) => Buffer.from(layer));
  const rootfs = { type: 'layers', diff_ids: all.map((layer) => digestOf(layer)) };
  return { config: JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs }), layers: all };
}

/** An engine with the classic store, as far as pushes use it. */
class FakeEngine {
  readonly images = new Map<Digest, FakeImage>();
  readonly tags = new Map<string, Digest>();
  /** Archives that were loaded in full. */
  readonly loads: Buffer[] = [];
  /** What `load` answers instead of taking the archive. */
  refusal: string | undefined;
  /** Called when a list of images is asked for: to change things at that moment. */
  onList: () => void = () => undefined;
  readonly #server = http.createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      response.writeHead(500).end(JSON.stringify({ message: String(error) }));
    });
  });

  listen(path: string): Promise<void> {
    return new Promise((resolve) => this.#server.listen(path, resolve));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  add(image: FakeImage, tag?: string): Digest {
    const id = digestOf(image.config);
    this.images.set(id, image);
    if (tag !== undefined) this.tags.set(tag, id);
    return id;
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://engine');
    const json = (status: number, value: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (url.pathname === '/images/load' && this.refusal !== undefined) {
      // As Go does: the answer goes out at once, the connection stays until the sender stops.
      const text = JSON.stringify({ error: this.refusal });
      response.writeHead(200, { 'content-length': text.length }).write(text);
      request.resume().once('close', () => response.end());
      return;
    }
    if (url.pathname === '/images/load') return this.#load(request, json);
    await buffer(request);
    if (url.pathname === '/info') return void json(200, { DockerRootDir: '/nowhere' });
    if (url.pathname === '/version') {
      return void json(200, { ApiVersion: '1.41', Os: 'linux', Arch: 'amd64' });
    }
    if (url.pathname === '/images/json') {
      this.onList();
      return void json(
        200,
        [...this.images.keys()].map((id) => ({ Id: id, RepoTags: this.#tagsOf(id) })),
      );
    }
    const [, name = '', what = ''] =
      /^\/images\/(.+?)(?:\/(json|tag|push|get))?$/.exec(url.pathname) ?? [];
    const id = this.tags.get(name) ?? (name as Digest);
    const image = this.images.get(id);
    // As if the engine ran elsewhere: nobody comes to the sink.
    if (what === 'push') return void response.end('{"error":"connection refused"}\n');
    if (image === undefined) return void json(404, { message: `no such image: ${name}` });
    if (what === 'json') return void json(200, this.#inspect(id, image));
    if (what === 'get') return this.#save(id, image, response);
    if (what === 'tag') {
      this.tags.set(`${url.searchParams.get('repo')}:${url.searchParams.get('tag')}`, id);
      return void json(201, {});
    }
    if (request.method === 'DELETE') this.tags.delete(name);
    json(200, []);
  }

  async #load(
    request: http.IncomingMessage,
    json: (status: number, value: unknown) => unknown,
  ): Promise<void> {
    const archive = await buffer(request);
    this.loads.push(archive);
    const config = /\{"os":"linux".*?\}\}/.exec(archive.toString('latin1'))?.[0] ?? '';
    this.images.set(digestOf(config), { config, layers: [] });
    json(200, { stream: 'Loaded' });
  }

  #inspect(id: Digest, image: FakeImage): unknown {
    const { rootfs } = JSON.parse(image.config) as { rootfs: { diff_ids: readonly string[] } };
    return {
      Id: id,
      Os: 'linux',
      Architecture: 'amd64',
      Size: 1,
      RepoTags: this.#tagsOf(id),
      RootFS: { Type: 'layers', Layers: rootfs.diff_ids },
    };
  }

  #tagsOf(id: Digest): readonly string[] {
    return [...this.tags].filter(([, one]) => one === id).map(([tag]) => tag);
  }

  /** As 20.10 does: names that say nothing, the manifest last. */
  #save(id: Digest, image: FakeImage, response: http.ServerResponse): void {
    const tar = pack();
    tar.pipe(response);
    tar.entry({ name: `${hexOf(id)}.json` }, image.config);
    const names = image.layers.map((layer, index) => {
      const name = `${createHash('sha256').update(`dir ${index}`).digest('hex')}/layer.tar`;
      tar.entry({ name }, layer);
      return name;
    });
    const manifest = [{ Config: `${hexOf(id)}.json`, RepoTags: [], Layers: names }];
    tar.entry({ name: 'manifest.json' }, JSON.stringify(manifest));
    tar.finalize();
  }
}

describe('a push', () => {
  const big = randomBytes(3_000_000);
  const v1 = imageOf('base', 'one');
  const v2 = imageOf('base', big);
  let folder: string;
  let source: FakeEngine;
  let target: FakeEngine;
  let agent: http.Server;
  const log: string[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tsc-compose-test-'));
    source = new FakeEngine();
    target = new FakeEngine();
    await source.listen(join(folder, 'source'));
    await target.listen(join(folder, 'target'));
    const images = new Images({
      socketPath: join(folder, 'target'),
      log: createLog((line) => log.push(line)),
    });
    // Machine "far" is reached through "near", both over one socket: "far" is what is served.
    agent = http.createServer((request, response) => {
      const [, machine = '', path = ''] =
        /^\/v1\/machines\/([^/]+)\/images(\/.*)$/.exec(request.url ?? '') ?? [];
      if (machine === 'near') void images.handleImageRequest(request, response, path);
      else {
        request.url = `/v1/machines/near/images${path}`;
        const connect = () => Promise.resolve(net.connect(join(folder, 'agent')));
        forwardRequest(request, response, connect).catch(() => response.destroy());
      }
    });
    await new Promise<void>((resolve) => agent.listen(join(folder, 'agent'), resolve));
    source.add(v1, 'web:v1');
    source.add(v2, 'web:v2');
  });

  afterEach(() => {
    source.close();
    target.close();
    agent.close();
    agent.closeAllConnections();
    rmSync(folder, { recursive: true });
  });

  const options = () => ({
    socketPath: join(folder, 'agent'),
    docker: new Docker({ socketPath: join(folder, 'source') }),
    knownPath: join(folder, 'known.json'),
  });
  const push = (reference: string, machine = 'far') =>
    pushImages([{ reference, machines: [machine] }], options());

  test('sends the missing layers, tags what was loaded, and leaves nothing behind', async () => {
    const id = target.add(v1, 'web:v1');
    const spools = () =>
      readdirSync(tmpdir()).filter((name) => name.startsWith('tsc-compose-push'));
    const before = spools();
    const [result] = await push('web:v2');
    expect(result).toMatchObject({ outcome: 'loaded', sentLayerCount: 1, layerCount: 2 });
    expect(result?.sentBytes).toBeGreaterThan(big.length);
    expect(target.loads.map((archive) => archive.includes(big))).toEqual([true]);
    expect(target.tags).toEqual(
      new Map([
        ['web:v1', id],
        ['web:v2', digestOf(v2.config)],
      ]),
    );
    expect([...source.tags.keys()]).toEqual(['web:v1', 'web:v2']);
    expect(spools()).toEqual(before);
  });

  test('that finds an image removed meanwhile asks again and sends more', async () => {
    const id = target.add(v1, 'web:v1');
    let listCount = 0;
    target.onList = () => {
      listCount += 1;
      if (listCount === 2) target.images.delete(id);
    };
    const [result] = await push('web:v2');
    expect(result).toMatchObject({ outcome: 'loaded', sentLayerCount: 2 });
  });

  test('gives up when what a machine has changes all the time', async () => {
    const id = target.add(v1);
    let listCount = 0;
    target.onList = () => {
      listCount += 1;
      if (listCount % 2 === 0) target.images.delete(id);
      else target.add(v1);
    };
    const [result] = await push('web:v2');
    expect(result?.error?.code).toBe('E_IMAGE_LAYERS_MISSING');
    expect(listCount).toBe(6);
  });

  test('tells the engine’s reason and tags nothing when the engine refuses', async () => {
    target.refusal = 'write /x: no space left on device';
    const [result] = await push('web:v2');
    expect(result).toMatchObject({ outcome: 'failed' });
    expect(result?.error?.message).toContain('no space left on device');
    expect(target.tags.size).toBe(0);
  });

  test('to one machine that fails does not hinder the other', async () => {
    const results = await pushImages([{ reference: 'web:v1', machines: ['near', 'far'] }], {
      ...options(),
      socketPath: join(folder, 'agent'),
    });
    expect(results.map(({ machine, outcome }) => [machine, outcome])).toEqual([
      ['near', 'loaded'],
      ['far', 'loaded'],
    ]);
    expect(target.loads.length).toBe(2);
  });

  test('of an image that is nowhere, or of an id, is refused before anything is asked', async () => {
    await expect(push('other')).rejects.toMatchObject({ code: 'E_IMAGE_NOT_FOUND' });
    await expect(push(digestOf(v1.config))).rejects.toMatchObject({ code: 'E_IMAGE_REFERENCE' });
  });

  test('for `up` passes over what is not here, and over a computer without an engine', async () => {
    const images = ['web:v1', 'other', `x@${digestOf('x')}`].map((reference) => ({
      reference,
      machines: ['near'],
    }));
    const results = await pushWhatIsHere(images, options());
    expect(results.map(({ reference, outcome }) => [reference, outcome])).toEqual([
      ['web:v1', 'loaded'],
    ]);
    const docker = new Docker({ socketPath: join(folder, 'nobody') });
    expect(await pushWhatIsHere(images, { ...options(), docker })).toEqual([]);
    await expect(pushImages(images, { ...options(), docker })).rejects.toMatchObject({
      code: 'E_ENGINE_UNREACHABLE',
    });
  });

  test('that is refused at its head hears why, although most of it was not sent', async () => {
    const spool = await Spool.create();
    const config = await spool.add(chunks(Buffer.from(v2.config)));
    const huge = await spool.add(chunks(randomBytes(30_000_000)));
    const diffIds = [digestOf('base'), huge.digest];
    const load = (machine: string) =>
      new ImageTarget({ socketPath: join(folder, 'agent'), machine }).load({
        image: { configDigest: config.digest, platform: 'linux/amd64', diffIds },
        references: ['web:v2'],
        layers: [huge.digest],
        exported: { config, layers: new Map([[huge.digest, huge]]) },
        onSent: () => undefined,
      });
    try {
      for (const machine of ['near', 'far']) {
        await expect(load(machine)).rejects.toMatchObject({ code: 'E_IMAGE_LAYERS_MISSING' });
      }
    } finally {
      await spool.remove();
    }
  });
});

async function* chunks(all: Buffer): AsyncGenerator<Buffer> {
  yield all;
}
