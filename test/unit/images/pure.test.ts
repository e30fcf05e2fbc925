import { describe, expect, test } from 'vitest';
import { archiveTail, blobEntry } from '../../../src/images/archive.ts';
import {
  chainIds,
  type Digest,
  digestFromHex,
  digestOf,
  hexOf,
  isDigest,
} from '../../../src/images/digest.ts';
import {
  classicInventory,
  containerdInventory,
  presentLayers,
} from '../../../src/images/inventory.ts';
import {
  type BlobReference,
  layerMediaType,
  parseConfig,
  parseIndex,
  parseManifest,
  sniffCompression,
} from '../../../src/images/manifest.ts';
import { layersToExport, planTarget, spaceNeededBytes } from '../../../src/images/plan.ts';
import { platformText, runsOn } from '../../../src/images/platform.ts';
import {
  layerEntry,
  layerOfEntry,
  type PlanAnswer,
  readLoadHeader,
  readPlanRequest,
  readTagRequest,
} from '../../../src/images/protocol.ts';
import { normalReference } from '../../../src/images/reference.ts';
import { classifySavedEntry, parseSavedManifest } from '../../../src/images/saved.ts';

const [a, b, c] = ['a', 'b', 'c'].map((text) => digestOf(text)) as [Digest, Digest, Digest];
const config = digestOf('config');

describe('digests', () => {
  test('only sha256 with 64 lower-case digits is a digest', () => {
    expect(isDigest(a)).toBe(true);
    expect(digestFromHex(hexOf(a))).toBe(a);
    for (const wrong of [a.toUpperCase(), a.slice(1), `${a}0`, 'sha512:00', '', 7, null]) {
      expect(isDigest(wrong)).toBe(false);
    }
  });

  test('chain ids are those of the OCI image specification', () => {
    expect(chainIds([])).toEqual([]);
    const [first, second, third] = chainIds([a, b, c]);
    expect(first).toBe(a);
    expect(second).toBe(digestOf(`${a} ${b}`));
    expect(third).toBe(digestOf(`${second} ${c}`));
  });
});

describe('names of images', () => {
  test.each([
    ['web', 'web:latest'],
    ['web:v1', 'web:v1'],
    ['docker.io/library/web:v1', 'web:v1'],
    ['index.docker.io/team/web', 'team/web:latest'],
    ['docker.io/team/web', 'team/web:latest'],
    ['localhost:5000/team/web', 'localhost:5000/team/web:latest'],
    ['registry.example/a/b_c/d-e:1.2', 'registry.example/a/b_c/d-e:1.2'],
  ])('%s is %s', (text, expected) => {
    expect(normalReference(text)).toBe(expected);
  });

  test.each(['', 'Web', 'web:', 'web:-1', hexOf(a), a, `web@${a}`, 'a//b', 'a b', '-x/y'])(
    '"%s" cannot be tagged',
    (text) => {
      expect(normalReference(text)).toBeUndefined();
    },
  );
});

describe('platforms', () => {
  test('a machine runs its own and its little sister, nothing else', () => {
    expect(platformText('linux', 'arm', 'v7')).toBe('linux/arm/v7');
    expect(platformText('linux', 'amd64')).toBe('linux/amd64');
    expect(runsOn('linux/amd64', 'linux/amd64')).toBe(true);
    expect(runsOn('linux/arm64/v8', 'linux/arm64')).toBe(true);
    expect(runsOn('linux/386', 'linux/amd64')).toBe(true);
    expect(runsOn('linux/arm/v7', 'linux/arm64')).toBe(true);
    expect(runsOn('linux/arm64', 'linux/amd64')).toBe(false);
    expect(runsOn('linux/amd64', 'linux/386')).toBe(false);
    expect(runsOn('windows/amd64', 'linux/amd64')).toBe(false);
  });
});

describe('manifests', () => {
  const layer = { mediaType: layerMediaType('gzip'), digest: a, size: 7 };

  test('OCI and Docker manifests are read, with the compression of each layer', () => {
    const docker = 'application/vnd.docker.image.rootfs.diff.tar';
    const text = JSON.stringify({
      config: { digest: config },
      layers: [
        layer,
        { mediaType: `${docker}.gzip`, digest: b, size: 8 },
        { mediaType: docker, digest: c, size: 9 },
        { mediaType: layerMediaType('zstd'), digest: c, size: 9 },
      ],
    });
    expect(parseManifest(text)?.configDigest).toBe(config);
    expect(parseManifest(text)?.layers.map((one) => one.compression)).toEqual([
      'gzip',
      'gzip',
      'none',
      'zstd',
    ]);
  });

  test('what is no manifest is none, and never throws', () => {
    const noDigest = { ...layer, digest: 'sha256:1' };
    for (const value of [
      {},
      { layers: [layer] },
      { config: { digest: config } },
      { config: { digest: config }, layers: [noDigest] },
      { config: { digest: config }, layers: [{ ...layer, size: '7' }] },
    ]) {
      expect(parseManifest(JSON.stringify(value))).toBeUndefined();
    }
    for (const text of ['', '[]', 'null', '{', '7']) {
      expect(parseManifest(text)).toBeUndefined();
      expect(parseIndex(text)).toBeUndefined();
      expect(parseConfig(text)).toBeUndefined();
    }
  });

  test('an index gives its manifests, a config its platform and layers', () => {
    expect(parseIndex(JSON.stringify({ manifests: [{ digest: a }, { digest: 'x' }] }))).toEqual([
      a,
    ]);
    const facts = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    expect(parseConfig(JSON.stringify({ ...facts, rootfs: { diff_ids: [a, b] } }))).toEqual({
      platform: 'linux/arm64/v8',
      diffIds: [a, b],
    });
    expect(parseConfig(JSON.stringify({ ...facts, rootfs: { diff_ids: ['x'] } }))).toBeUndefined();
    expect(parseConfig(JSON.stringify({ rootfs: { diff_ids: [a] } }))).toBeUndefined();
  });

  test('compression is told by the first bytes', () => {
    expect(sniffCompression(Uint8Array.of(0x1f, 0x8b, 8))).toBe('gzip');
    expect(sniffCompression(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd))).toBe('zstd');
    expect(sniffCompression(Uint8Array.of(0x28, 0xb5))).toBe('none');
    expect(sniffCompression(new Uint8Array())).toBe('none');
  });
});

describe('what an engine holds', () => {
  test('the classic store has a layer only on top of the same layers', () => {
    const inventory = classicInventory([{ id: config, tags: ['web:v1'], diffIds: [a, b] }]);
    expect(presentLayers(inventory, [a, b, c])).toEqual([true, true, false]);
    expect(presentLayers(inventory, [b, a])).toEqual([false, false]);
    expect(inventory.images.get(config)).toBe(config);
    expect(inventory.tags.get('web:v1')).toEqual([config]);
  });

  const blob = (digest: Digest): BlobReference => ({ digest, sizeBytes: 5, compression: 'gzip' });
  const stored = (configDigest: Digest, layers: readonly (readonly [Digest, boolean])[]) => ({
    configDigest,
    layers: layers.map(([diffId, isStored]) => ({
      diffId,
      blob: blob(digestOf(`gzip of ${diffId}`)),
      isStored,
    })),
  });

  test('the containerd store has a layer if it has its bytes, on whatever layers', () => {
    const manifest = stored(config, [
      [a, true],
      [b, false],
    ]);
    const inventory = containerdInventory([{ id: 'm', tags: ['web:v1'], manifests: [manifest] }]);
    expect(presentLayers(inventory, [c, a, b])).toEqual([false, true, false]);
    expect(inventory.blobs.get(a)).toEqual(blob(digestOf(`gzip of ${a}`)));
  });

  test('an image whose bytes are not all there is not complete, and its name means nothing', () => {
    const whole = stored(config, [[a, true]]);
    const broken = stored(digestOf('arm'), [[b, false]]);
    const inventory = containerdInventory([
      { id: 'x', tags: ['web:v1'], manifests: [whole, broken] },
    ]);
    expect([...inventory.images]).toEqual([[config, 'x']]);
    expect(inventory.tags.get('web:v1')).toEqual([config]);
  });
});

describe('the layer plan', () => {
  const image = { configDigest: config, platform: 'linux/amd64', diffIds: [a, b, a, c] };
  const answer = (change: Partial<PlanAnswer>): PlanAnswer => ({
    store: 'classic',
    platform: 'linux/amd64',
    isComplete: false,
    isTagged: false,
    present: [false, false, false, false],
    freeBytes: null,
    ...change,
  });

  test('a machine of another platform is refused before anything else', () => {
    const step = planTarget(image, answer({ platform: 'linux/arm64', isComplete: true }));
    expect(step).toMatchObject({ type: 'refuse', code: 'E_IMAGE_PLATFORM' });
  });

  test('a complete image needs at most its name', () => {
    expect(planTarget(image, answer({ isComplete: true, isTagged: true }))).toEqual({
      type: 'nothing',
    });
    expect(planTarget(image, answer({ isComplete: true }))).toEqual({ type: 'tag' });
  });

  test('what is missing is sent once, in the order of the image', () => {
    expect(planTarget(image, answer({}))).toEqual({ type: 'load', layers: [a, b, c] });
    const present = [true, true, false, true];
    expect(planTarget(image, answer({ present }))).toEqual({ type: 'load', layers: [a] });
    expect(planTarget(image, answer({ present: [true] }))).toEqual({
      type: 'load',
      layers: [b, a, c],
    });
  });

  test('all layers there without the image: only the config is sent', () => {
    const present = [true, true, true, true];
    expect(planTarget(image, answer({ present }))).toEqual({ type: 'load', layers: [] });
  });

  test('the engine hands out what at least one machine lacks', () => {
    const steps = [
      { type: 'nothing' },
      { type: 'load', layers: [a] },
      { type: 'load', layers: [a, c] },
    ] as const;
    expect([...layersToExport(steps)].sort()).toEqual([a, c].sort());
  });

  test('the space that is asked for holds the archive and the layers', () => {
    expect(spaceNeededBytes({ blobBytes: 10, imageBytes: 1000 })).toBe(60);
    expect(spaceNeededBytes({ blobBytes: 10, imageBytes: 20 })).toBe(30);
    expect(spaceNeededBytes({ blobBytes: 10, imageBytes: 0 })).toBe(20);
  });
});

describe('requests', () => {
  const layer = { diffId: a, blob: { digest: b, sizeBytes: 3, compression: 'gzip' } };
  const header = {
    configDigest: config,
    platform: 'linux/amd64',
    diffIds: [a, c],
    references: ['web'],
    configSizeBytes: 9,
    layers: [layer],
  };

  test('are read with their names in full', () => {
    expect(readLoadHeader({ ...header, more: 1 })).toEqual({
      ...header,
      references: ['web:latest'],
    });
    const { configDigest, platform, diffIds, references } = header;
    expect(readPlanRequest({ configDigest, platform, diffIds, references }).references).toEqual([
      'web:latest',
    ]);
    expect(readTagRequest({ configDigest, references: [] })).toEqual({
      configDigest,
      references: [],
    });
  });

  test.each([
    ['no object', 7],
    ['a list', []],
    ['no config', { ...header, configDigest: 'x' }],
    ['a digest that is none', { ...header, diffIds: [a, 'x'] }],
    ['too many layers', { ...header, diffIds: Array.from({ length: 128 }, () => a) }],
    ['no platform', { ...header, platform: undefined }],
    ['a name that cannot be tagged', { ...header, references: [`web@${a}`] }],
    ['a name that is no text', { ...header, references: [7] }],
    ['no names', { ...header, references: undefined }],
    ['a layer of another image', { ...header, layers: [{ ...layer, diffId: b }] }],
    ['a layer twice', { ...header, layers: [layer, layer] }],
    ['no layers', { ...header, layers: undefined }],
    ['a size that is none', { ...header, configSizeBytes: -1 }],
    ['a config of 5 MB', { ...header, configSizeBytes: 5_000_000 }],
    ['zstd', { ...header, layers: [{ ...layer, blob: { ...layer.blob, compression: 'zstd' } }] }],
  ])('with %s are refused', (_what, value) => {
    expect(() => readLoadHeader(value)).toThrow(/^image request: /);
  });

  test('entries of layers are told from all others', () => {
    expect(layerOfEntry(layerEntry(a))).toBe(a);
    for (const name of ['config', 'layers/x', hexOf(a), `x/layers/${hexOf(a)}`]) {
      expect(layerOfEntry(name)).toBeUndefined();
    }
  });
});

describe('the universal archive', () => {
  const layers: readonly BlobReference[] = [
    { digest: a, sizeBytes: 1, compression: 'gzip' },
    { digest: b, sizeBytes: 2, compression: 'none' },
  ];
  const tail = archiveTail({ configDigest: config, configSizeBytes: 9, layers });
  const contentOf = (name: string) =>
    JSON.parse(tail.entries.find((one) => one.name === name)?.content ?? 'null');

  test('names the image last, so that a broken stream is only loose blobs', () => {
    expect(tail.entries.map(({ name }) => name)).toEqual([
      blobEntry(tail.manifestDigest),
      'oci-layout',
      'manifest.json',
      'index.json',
    ]);
  });

  test('carries no tag in either of its forms', () => {
    expect(contentOf('manifest.json')).toEqual([
      { Config: blobEntry(config), RepoTags: null, Layers: [blobEntry(a), blobEntry(b)] },
    ]);
    expect(JSON.stringify(tail.entries)).not.toMatch(/annotations|ref\.name/);
  });

  test('has a manifest with the digest and size that the index gives', () => {
    const manifest = tail.entries[0]?.content ?? '';
    expect(digestOf(manifest)).toBe(tail.manifestDigest);
    expect(contentOf('index.json').manifests).toEqual([
      expect.objectContaining({ digest: tail.manifestDigest, size: manifest.length }),
    ]);
    expect(parseManifest(manifest)).toEqual({ configDigest: config, layers });
  });
});

describe('archives of docker save', () => {
  test('entries of all engines are told apart', () => {
    expect(classifySavedEntry('manifest.json')).toEqual({ type: 'manifest' });
    expect(classifySavedEntry(blobEntry(a))).toEqual({ type: 'blob', digest: a });
    expect(classifySavedEntry(`${hexOf(a)}.json`)).toEqual({ type: 'blob', digest: a });
    // The folder's name is an id that says nothing about the bytes.
    expect(classifySavedEntry(`${hexOf(a)}/layer.tar`)).toEqual({
      type: 'blob',
      digest: undefined,
    });
    for (const name of ['repositories', 'index.json', 'blobs/sha256/', `${hexOf(a)}/json`]) {
      expect(classifySavedEntry(name)).toEqual({ type: 'other' });
    }
  });

  test('the manifest must be of one image', () => {
    const one = { Config: 'x', RepoTags: null, Layers: ['l'] };
    expect(parseSavedManifest(JSON.stringify([one]))).toEqual({ config: 'x', layers: ['l'] });
    for (const value of [
      one,
      [one, one],
      [],
      [{ ...one, Layers: [7] }],
      [{ Layers: [] }],
      [null],
    ]) {
      expect(parseSavedManifest(JSON.stringify(value))).toBeUndefined();
    }
    expect(parseSavedManifest('{')).toBeUndefined();
  });
});
