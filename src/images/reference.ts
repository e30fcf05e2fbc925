/**
 * Names of images as engines list them: short where Docker Hub is meant, always with a tag. Only
 * for comparing and tagging; what a name means is the engine's business.
 */

export interface Reference {
  readonly repository: string;
  readonly tag: string;
}

/**
 * Reads a name with an optional tag.
 * @returns undefined for an id, a digest reference or what is no name: none of them can be tagged
 */
export function parseReference(text: string): Reference | undefined {
  const slash = text.lastIndexOf('/');
  const colon = text.indexOf(':', slash + 1);
  const repository = colon < 0 ? text : text.slice(0, colon);
  const tag = colon < 0 ? 'latest' : text.slice(colon + 1);
  if (!/^[\w][\w.-]{0,127}$/.test(tag)) return undefined;
  // An id, with or without its algorithm; an engine would refuse these as names as well.
  if (repository === 'sha256' || /^[0-9a-f]{64}$/.test(repository)) return undefined;
  const [first = '', ...rest] = repository.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const path = isHost ? rest : [first, ...rest];
  if (isHost && !/^[a-zA-Z0-9.-]+(:\d+)?$/.test(first)) return undefined;
  if (!path.every((part) => /^[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*$/.test(part))) return undefined;
  return { repository: familiar(repository), tag };
}

/** "web" and "docker.io/library/web:latest" are one name: "web:latest". */
export function formatReference({ repository, tag }: Reference): string {
  return `${repository}:${tag}`;
}

/** The name as engines list it, or undefined when it cannot be tagged. */
export function normalReference(text: string): string | undefined {
  const reference = parseReference(text);
  return reference === undefined ? undefined : formatReference(reference);
}

/** Docker Hub, as credentials and engines call it. */
export const hubRegistry = 'docker.io';

/** The registry that an image of this name is pulled from; undefined for ids and what is no name. */
export function registryOf(text: string): string | undefined {
  const name = withoutDigest(text);
  if (parseReference(name) === undefined) return undefined;
  const [first = '', ...rest] = name.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  if (!isHost) return hubRegistry;
  return first === 'index.docker.io' ? hubRegistry : first;
}

/** The digest that a name ends in: "sha256:…" of "web@sha256:…". */
export function digestOf(text: string): string | undefined {
  return /@(sha256:[0-9a-f]{64})$/.exec(text)?.[1];
}

/** The name of exactly one content: "web@sha256:…"; undefined when the name can have none. */
export function pinnedReference(text: string, digest: string): string | undefined {
  const reference = parseReference(withoutDigest(text));
  return reference === undefined ? undefined : `${reference.repository}@${digest}`;
}

function withoutDigest(text: string): string {
  return text.replace(/@sha256:[0-9a-f]{64}$/, '');
}

function familiar(repository: string): string {
  const path = repository.replace(/^(index\.)?docker\.io\//, '');
  if (path === repository) return repository;
  return path.replace(/^library\/(?=[^/]+$)/, '');
}
