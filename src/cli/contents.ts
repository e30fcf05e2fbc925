/**
 * Reads the content of the secrets and configs that the services use, because it travels to the
 * machines with the project: a path of this folder means nothing there.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { TscError } from '../lib/errors.ts';
import type { FileObject, Project } from '../model/project.ts';

export interface ContentSources {
  readonly workingDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Values of secrets from the environment, as the loader found them. */
  readonly secretValues: ReadonlyMap<string, string>;
}

/**
 * @returns base64 under "secret/<name>" and "config/<name>"
 * @throws TscError E_SECRET_NOT_FOUND, E_SECRET_EXTERNAL (E_CONFIG_… alike)
 */
export async function readContents(
  project: Project,
  sources: ContentSources,
): Promise<Readonly<Record<string, string>>> {
  const contents: Record<string, string> = {};
  const services = Object.values(project.services);
  for (const kind of ['secret', 'config'] as const) {
    const defined = project[`${kind}s`] ?? {};
    const used = new Set(
      services.flatMap((s) => (s[`${kind}s`] ?? []).map(({ source }) => source)),
    );
    for (const name of [...used].sort()) {
      const object = defined[name];
      if (object === undefined) continue;
      const bytes = await readOne(kind, name, object, sources);
      contents[`${kind}/${name}`] = bytes.toString('base64');
    }
  }
  return contents;
}

async function readOne(
  kind: 'secret' | 'config',
  name: string,
  object: FileObject,
  { workingDir, environment, secretValues }: ContentSources,
): Promise<Buffer> {
  const area = kind === 'secret' ? 'E_SECRET' : 'E_CONFIG';
  if (object.external === true) {
    throw new TscError(`${area}_EXTERNAL`, `${kind} "${name}" is external: nothing here holds it`, {
      hint: 'give it by "file", "environment" or "content"',
    });
  }
  if (object.content !== undefined) return Buffer.from(object.content, 'utf8');
  if (object.environment !== undefined) {
    const found = kind === 'secret' ? secretValues.get(name) : undefined;
    const value = found ?? environment[object.environment];
    if (value !== undefined) return Buffer.from(value, 'utf8');
    throw new TscError(
      `${area}_NOT_FOUND`,
      `${kind} "${name}": the variable ${object.environment} is not set`,
    );
  }
  if (object.file === undefined) {
    throw new TscError(`${area}_NOT_FOUND`, `${kind} "${name}" does not say where its content is`);
  }
  const path = resolve(workingDir, object.file);
  try {
    return await readFile(path);
  } catch (cause) {
    throw new TscError(`${area}_NOT_FOUND`, `${kind} "${name}": ${path} cannot be read`, { cause });
  }
}
