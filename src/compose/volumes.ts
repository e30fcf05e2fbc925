/**
 * The short form of a volume: `[SOURCE:]TARGET[:OPTIONS]`, without knowledge of the machine that it
 * will run on. A colon after a single letter belongs to a Windows drive, one inside `${…}` to a
 * variable. A source that looks like a path is a bind mount, anything else names a volume.
 */
import { TscError } from '../lib/errors.ts';

export interface VolumeSpec {
  type: 'bind' | 'volume';
  source?: string;
  target?: string;
  read_only?: boolean;
  bind?: { propagation?: string; selinux?: string; create_host_path?: boolean };
  volume?: { nocopy?: boolean };
}

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'];

/** Reads a short volume; throws when a section is empty or there are too many. */
export function parseVolume(spec: string): VolumeSpec {
  if (spec === '') throw new TscError('E_COMPOSE_PARSE', 'invalid empty volume spec');
  if (new TextEncoder().encode(spec).length <= 2) return { type: 'volume', target: spec };
  const sections = splitSections(spec);
  const fault = (why: string): TscError =>
    new TscError('E_COMPOSE_PARSE', `invalid spec: ${spec}: ${why}`);
  if (sections.includes('')) throw fault('empty section between colons');
  if (sections.length > 3) throw fault('too many colons');
  const [first = '', second, options] = sections;
  if (second === undefined) return { type: 'volume', target: first, volume: {} };
  const volume: VolumeSpec = { type: 'volume', source: first, target: second };
  if (options !== undefined) applyOptions(volume, options);
  if (isFilePath(first)) {
    volume.type = 'bind';
    volume.bind = { ...volume.bind, create_host_path: true };
  } else {
    volume.volume ??= {};
  }
  return volume;
}

function splitSections(spec: string): string[] {
  const sections: string[] = [];
  let section = '';
  let nesting = 0;
  const characters = Array.from(spec);
  characters.forEach((char, index) => {
    if (char === '$' && characters[index + 1] === '{') nesting++;
    if (char === '}' && nesting > 0) nesting--;
    else if (char === ':' && nesting === 0 && !isDriveLetter(section)) {
      sections.push(section);
      section = '';
      return;
    }
    section += char;
  });
  if (nesting > 0) return [...sections, ''];
  sections.push(section);
  return sections;
}

function isDriveLetter(text: string): boolean {
  return /^\p{L}$/u.test(text);
}

/** Options that nobody knows are ignored, as Docker does. */
function applyOptions(volume: VolumeSpec, options: string): void {
  for (const option of options.split(',')) {
    if (option === 'ro') volume.read_only = true;
    else if (option === 'rw') volume.read_only = false;
    else if (option === 'nocopy') volume.volume = { nocopy: true };
    else if (option === 'z' || option === 'Z') volume.bind = { ...volume.bind, selinux: option };
    else if (propagations.includes(option)) volume.bind = { ...volume.bind, propagation: option };
  }
}

/** Paths, home directories, Windows pipes and drives. */
function isFilePath(source: string): boolean {
  return /^[./~]/.test(source) || source.startsWith('\\\\') || /^\p{L}:/u.test(source);
}
