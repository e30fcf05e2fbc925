/** An engine's HTTP API, as far as the acceptor asks: images, pulls and lists of containers. */
import * as http from 'node:http';
import { join } from 'node:path';
import Docker from 'dockerode';

export interface FakeEngine {
  readonly docker: Docker;
  /** Reference to id. */
  readonly images: Map<string, string>;
  /** What a pull would bring. */
  readonly registry: Map<string, string>;
  readonly pulled: string[];
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
    registry: new Map(),
    pulled: [],
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
      else answer(200, { Id: id });
    } else if (url.pathname === '/images/create') {
      const reference = (url.searchParams.get('fromImage') ?? '').replace(/:latest$/, '');
      engine.pulled.push(reference);
      const id = engine.registry.get(reference);
      if (id === undefined) answer(404, { message: `pull access denied for ${reference}` });
      else {
        engine.images.set(reference, id);
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

function known(engine: FakeEngine, id: string): string | undefined {
  return [...engine.images.values()].includes(id) ? id : undefined;
}
