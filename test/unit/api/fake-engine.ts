/** An engine's HTTP API, as far as the acceptor asks: images, pulls and lists of containers. */
import * as http from 'node:http';
import { join } from 'node:path';
import Docker from 'dockerode';

export interface FakeEngine {
  readonly docker: Docker;
  /** Reference to id. */
  readonly images: Map<string, string>;
  /** Reference to the digests by which registries know its image. */
  readonly digests: Map<string, readonly string[]>;
  /** When a reference was last given to its image, as the engine writes it. */
  readonly tagged: Map<string, string>;
  /** What a pull would bring. */
  readonly registry: Map<string, string>;
  /** What the registry answers about a reference: its digest and platforms, or a refusal. */
  readonly distribution: Map<
    string,
    { readonly digest: string; readonly platforms?: readonly string[] } | 'refused'
  >;
  readonly pulled: string[];
  /** Decoded X-Registry-Auth of each pull and question. */
  readonly auths: unknown[];
  containers: readonly {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
  }[];
  isDown: boolean;
  stop(): void;
}

export async function fakeEngine(folder: string, name: string): Promise<FakeEngine> {
  const socketPath = join(folder, `${name}.sock`);
  const engine: FakeEngine = {
    docker: new Docker({ host: '', protocol: 'http', socketPath }),
    images: new Map(),
    digests: new Map(),
    tagged: new Map(),
    registry: new Map(),
    distribution: new Map(),
    pulled: [],
    auths: [],
    containers: [],
    isDown: false,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://engine');
    const answer = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (engine.isDown) {
      answer(500, { message: 'the engine is broken' });
      return;
    }
    const image = /^\/images\/(.+)\/json$/.exec(url.pathname)?.[1];
    if (image !== undefined) {
      const id = engine.images.get(decodeURIComponent(image)) ?? known(engine, image);
      if (id === undefined) answer(404, { message: `No such image: ${image}` });
      else {
        const reference = decodeURIComponent(image);
        const digests = engine.digests.get(reference) ?? [];
        const repository = reference.replace(/[:@].*$/, '');
        answer(200, {
          Id: id,
          RepoDigests: digests.map((digest) => `${repository}@${digest}`),
          Metadata: { LastTagTime: engine.tagged.get(reference) ?? '0001-01-01T00:00:00Z' },
        });
      }
    } else if (url.pathname.endsWith('/tag')) {
      const repository = url.searchParams.get('repo') ?? '';
      const name = `${repository}:${url.searchParams.get('tag') ?? ''}`.replace(/:latest$/, '');
      const id = decodeURIComponent(url.pathname.split('/')[2] ?? '');
      engine.images.set(name, known(engine, id) ?? id);
      answer(201, {});
    } else if (url.pathname.startsWith('/distribution/')) {
      noteAuth(engine, request);
      const name = decodeURIComponent(url.pathname.slice('/distribution/'.length, -'/json'.length));
      const found = engine.distribution.get(name);
      if (found === 'refused') answer(401, { message: 'unauthorized: authentication required' });
      else if (found === undefined) answer(500, { message: `no registry for ${name}` });
      else {
        const Platforms = (found.platforms ?? ['linux/amd64']).map((platform) => {
          const [os, architecture] = platform.split('/');
          return { os, architecture };
        });
        answer(200, { Descriptor: { digest: found.digest }, Platforms });
      }
    } else if (url.pathname === '/images/create') {
      const reference = (url.searchParams.get('fromImage') ?? '').replace(/:latest$/, '');
      noteAuth(engine, request);
      engine.pulled.push(reference);
      const id = engine.registry.get(reference);
      if (id === undefined) answer(404, { message: `pull access denied for ${reference}` });
      else {
        engine.images.set(reference, id);
        const [repository = '', digest] = reference.split('@');
        if (digest !== undefined) engine.digests.set(repository, [digest]);
        answer(200, { status: 'Download complete' });
      }
    } else if (url.pathname === '/containers/json') {
      const wanted = JSON.parse(url.searchParams.get('filters') ?? '{}') as { label?: string[] };
      const found = engine.containers.filter(({ labels }) =>
        (wanted.label ?? []).every((pair) => {
          const [key = '', value] = pair.split('=');
          return labels[key] === value;
        }),
      );
      answer(
        200,
        found.map((c) => ({ Id: c.name, Names: [`/${c.name}`], Labels: c.labels })),
      );
    } else answer(404, { message: `nothing at ${url.pathname}` });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return engine;
}

function noteAuth(engine: FakeEngine, { headers }: http.IncomingMessage): void {
  const text = headers['x-registry-auth'];
  if (typeof text !== 'string') return;
  engine.auths.push(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
}

function known(engine: FakeEngine, id: string): string | undefined {
  return [...engine.images.values()].includes(id) ? id : undefined;
}
