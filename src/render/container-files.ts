/**
 * Which files a container needs beside its image: its secrets and configs. Decides name, place and
 * mode of each; the agent writes them (agent/files.ts) and they are bound read-only. Unlike with
 * `docker compose`, mode and owner hold for secrets that come from files too, and a read-only root
 * file system is no obstacle, because nothing is copied into the container.
 */
import { TscError } from '../lib/errors.ts';
import type { FileReference, Project, Service } from '../model/project.ts';

/** One file to write and to bind. */
export interface ContainerFile {
  /** Unique inside the container's folder: "secret-0", "config-1". */
  readonly name: string;
  /** Absolute path in the container. */
  readonly target: string;
  /** base64, as in the revision record. */
  readonly content: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** 0444: readable by whatever user the image runs as, as the Compose specification says. */
const defaultMode = 0o444;

/**
 * The secret and config files of a service.
 * @param contents of the revision: base64 under "secret/<name>" or "config/<name>"
 * @throws TscError E_SECRET_MISSING or E_CONFIG_MISSING when the content is not in the revision
 */
export function containerFiles(
  service: Service,
  definition: Project,
  contents: Readonly<Record<string, string>>,
): readonly ContainerFile[] {
  return [
    ...(service.secrets ?? []).map((reference, index) =>
      fileOf('secret', index, reference, secretTarget(reference), contents),
    ),
    ...(service.configs ?? []).map((reference, index) =>
      fileOf(
        'config',
        index,
        reference,
        configTarget(reference),
        withInlineConfig(reference, definition, contents),
      ),
    ),
  ];
}

function fileOf(
  kind: 'secret' | 'config',
  index: number,
  reference: FileReference,
  target: string,
  contents: Readonly<Record<string, string>>,
): ContainerFile {
  const content = contents[`${kind}/${reference.source}`];
  if (content === undefined) {
    throw new TscError(
      kind === 'secret' ? 'E_SECRET_MISSING' : 'E_CONFIG_MISSING',
      `the content of ${kind} "${reference.source}" is not known to the cluster`,
      { hint: 'run tsc-compose up again where its file or variable is' },
    );
  }
  return {
    name: `${kind}-${index}`,
    target,
    content,
    mode: reference.mode === undefined ? defaultMode : Number.parseInt(reference.mode, 8),
    uid: ownerOf(reference.uid),
    gid: ownerOf(reference.gid),
  };
}

function secretTarget({ source, target }: FileReference): string {
  if (target === undefined || target === '') return `/run/secrets/${source}`;
  return target.startsWith('/') ? target : `/run/secrets/${target}`;
}

function configTarget({ source, target }: FileReference): string {
  if (target === undefined || target === '') return `/${source}`;
  return target.startsWith('/') ? target : `/${target}`;
}

/** A config's `content:` stands in the project itself; it counts when the client sent none. */
function withInlineConfig(
  { source }: FileReference,
  definition: Project,
  contents: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const inline = definition.configs?.[source]?.content;
  const key = `config/${source}`;
  if (inline === undefined || contents[key] !== undefined) return contents;
  return { ...contents, [key]: base64Of(inline) };
}

/** Owners are numbers: the file is written outside the container, where its names mean nothing. */
function ownerOf(text: string | undefined): number {
  const id = Number(text ?? '0');
  if (Number.isInteger(id) && id >= 0) return id;
  throw new TscError(
    'E_FILE_OWNER',
    `uid and gid of a secret or config are numbers, not "${text}"`,
  );
}

function base64Of(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
