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

function familiar(repository: string): string {
  const path = repository.replace(/^(index\.)?docker\.io\//, '');
  if (path === repository) return repository;
  return path.replace(/^library\/(?=[^/]+$)/, '');
}
