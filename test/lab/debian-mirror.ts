/**
 * Which Debian mirror this machine uses, read from apt's own configuration, so that no address is
 * written down here and a local mirror or proxy is respected.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TscError } from '../../src/lib/errors.ts';

export interface DebianMirror {
  readonly uri: string;
  readonly keyring: string;
}

const defaultKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Finds the mirror. @throws TscError with code E_LAB_PACKAGES on a system that is not Debian */
export async function findDebianMirror(etcApt = '/etc/apt'): Promise<DebianMirror> {
  const texts = sourceFiles(etcApt).map((file) => ({ file, text: readFileSync(file, 'utf8') }));
  for (const { file, text } of texts) {
    const mirror = file.endsWith('.sources') ? fromStanzas(text) : fromLines(text);
    if (mirror !== undefined) return mirror;
  }
  throw new TscError('E_LAB_PACKAGES', `no Debian mirror in ${etcApt}: the lab needs Debian`);
}

function sourceFiles(etcApt: string): readonly string[] {
  const parts = join(etcApt, 'sources.list.d');
  const named = existsSync(parts) ? readdirSync(parts).sort() : [];
  return [
    ...named.filter((name) => name.endsWith('.sources')).map((name) => join(parts, name)),
    join(etcApt, 'sources.list'),
    ...named.filter((name) => name.endsWith('.list')).map((name) => join(parts, name)),
  ].filter((file) => existsSync(file));
}

/** A Debian archive is told from other vendors' by its path: every mirror keeps `/debian`. */
function isDebianArchive(uri: string): boolean {
  return /\/debian\/?$/u.test(uri);
}

function fromStanzas(text: string): DebianMirror | undefined {
  for (const stanza of text.split(/\n\s*\n/u)) {
    const field = (name: string) =>
      new RegExp(`^${name}:\\s*(\\S+)`, 'imu').exec(stanza)?.[1] ?? undefined;
    const uri = field('URIs');
    if (uri !== undefined && isDebianArchive(uri)) {
      const signedBy = field('Signed-By');
      return { uri, keyring: signedBy?.startsWith('/') ? signedBy : defaultKeyring };
    }
  }
  return undefined;
}

function fromLines(text: string): DebianMirror | undefined {
  for (const line of text.split('\n')) {
    const match = /^deb\s+(?:\[(?<options>[^\]]*)\]\s+)?(?<uri>\S+)\s/u.exec(line);
    const uri = match?.groups?.['uri'];
    if (uri !== undefined && isDebianArchive(uri)) {
      const keyring = /signed-by=(\/\S+)/u.exec(match?.groups?.['options'] ?? '')?.[1];
      return { uri, keyring: keyring ?? defaultKeyring };
    }
  }
  return undefined;
}
