import type { Readable } from 'node:stream';
import { type Pack, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { readContent, type VolumeContent } from '../../../agent/volume-copy.ts';

type Header = Parameters<Pack['entry']>[0];

const at = (seconds: number): Date => new Date(seconds * 1000);

async function contentOf(
  entries: readonly (readonly [Header, string?])[],
  cutBytes = 0,
): Promise<VolumeContent> {
  const tar = pack();
  for (const [header, text] of entries) {
    if (text === undefined) tar.entry(header);
    else tar.entry(header, text);
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const { Readable: Source } = await import('node:stream');
  const source: Readable = Source.from([bytes.subarray(0, bytes.length - cutBytes)]);
  return readContent(source, new AbortController().signal);
}

const file: Header = { name: 'v/a', mode: 0o640, uid: 7, gid: 8, mtime: at(5) };
const folder: Header = { name: 'v/', type: 'directory', mode: 0o755, mtime: at(5) };

describe('the digest of a volume', () => {
  test('is the same for the same files in any order, whenever folders were touched', async () => {
    const one = await contentOf([[folder], [file, 'text'], [{ ...file, name: 'v/b' }, 'more']]);
    const two = await contentOf([
      [{ ...file, name: 'v/b' }, 'more'],
      [{ ...folder, mtime: at(9) }],
      [file, 'text'],
    ]);
    expect(two).toEqual(one);
    expect(one).toMatchObject({ entryCount: 3, sizeBytes: 8 });
  });

  test.each<[string, Header, string]>([
    ['content', file, 'tex!'],
    ['name', { ...file, name: 'v/c' }, 'text'],
    ['mode', { ...file, mode: 0o600 }, 'text'],
    ['owner', { ...file, uid: 0 }, 'text'],
    ['time', { ...file, mtime: at(6) }, 'text'],
    ['kind', { ...file, type: 'symlink', linkname: 'text' }, ''],
  ])('is another one for another %s', async (_title, header, text) => {
    const before = await contentOf([[file, 'text']]);
    const after = await contentOf([text === '' ? [header] : [header, text]]);
    expect(after.digest).not.toBe(before.digest);
  });

  test('counts a file that is there twice twice', async () => {
    const once = await contentOf([[file, 'text']]);
    const twice = await contentOf([
      [file, 'text'],
      [file, 'text'],
    ]);
    expect(twice.digest).not.toBe(once.digest);
  });

  test('is not given for a tar that breaks off', async () => {
    await expect(contentOf([[file, 'x'.repeat(5_000)]], 4_000)).rejects.toThrow();
  });
});
