import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MachineFactsReader } from '../../../agent/machine-facts.ts';
import { hereRequest } from '../../../src/client/here.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { UpRequest } from '../../../src/model/api.ts';
import { fakeAgent } from '../api/fakes.ts';
import { type Harness, harness } from './harness.ts';

let house: Harness;
let requests: UpRequest[];
let isHere: boolean;
let refusal: TscError | undefined;
/** Copies that the command gave, by hash. */
let given: Map<string, Buffer>;

beforeEach(async () => {
  requests = [];
  given = new Map();
  isHere = false;
  refusal = undefined;
  const base = fakeAgent();
  house = await harness(
    fakeAgent({
      machineFacts: {
        isHere: async () => ({ isHere }),
        read: async () => ({ existing: [], freeDiskBytes: 1, freeMemoryBytes: 1 }),
      },
      projects: () => {
        const projects = base.components.projects();
        if (projects === undefined) throw new Error('the fake has a cluster');
        return {
          ...projects,
          up: async (project, request, signal) => {
            requests.push(request);
            if (refusal !== undefined) throw refusal;
            return projects.up(project, request, signal);
          },
        };
      },
      localCopies: async (request, response, path) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const has = given.has(path.slice(1));
        if (request.method === 'PUT') given.set(path.slice(1), Buffer.concat(chunks));
        response.writeHead(request.method === 'PUT' || has ? 200 : 404).end('{}');
      },
    }),
  );
});
afterEach(() => house.stop());

function project(...volumes: string[]): void {
  const list = volumes.map((volume) => `      - ${volume}`).join('\n');
  house.write('compose.yaml', `services:\n  web:\n    image: busybox\n    volumes:\n${list}\n`);
}

const source = (): string | undefined =>
  requests.at(-1)?.project.services['web']?.volumes?.[0]?.source;

describe('from a computer that is no machine of the cluster', () => {
  test('a read-only bind mount travels as a copy named by its content', async () => {
    project('./conf:/etc/app:ro', '/etc/localtime:/etc/localtime:ro');
    house.write('conf/app.conf', 'port 80');
    const result = await house.tsc('up', '--no-wait');
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain('note: service web gets a copy of');
    const hash = /^tsc-compose-copy:([0-9a-f]{64})$/.exec(source() ?? '')?.[1] ?? '';
    const tar = given.get(hash) ?? Buffer.alloc(0);
    expect(createHash('sha256').update(tar).digest('hex')).toBe(hash);
    const [mount, other] = requests[0]?.project.services['web']?.volumes ?? [];
    expect(mount).toMatchObject({ type: 'bind', target: '/etc/app', read_only: true });
    expect(mount?.bind?.create_host_path).toBe(false);
    expect(other?.source).toBe('/etc/localtime');
    const before = source();
    await house.tsc('up', '--no-wait');
    expect(source()).toBe(before);
    house.write('conf/app.conf', 'port 81');
    await house.tsc('up', '--no-wait');
    expect(source()).not.toBe(before);
  });

  test('a dry run sends nothing', async () => {
    project('./conf:/etc/app:ro');
    house.write('conf/app.conf', 'port 80');
    expect(await house.tsc('up', '--dry-run')).toMatchObject({ code: 0 });
    expect(given.size).toBe(0);
    expect(source()).toMatch(/^tsc-compose-copy:/);
  });

  test('what is written, missing or too large is refused with its place, all at once', async () => {
    project('./data:/data', './none:/none:ro', './big:/big:ro');
    house.write('data/x', 'x');
    house.write('big/x', 'x'.repeat(11 * 1024 * 1024));
    const result = await house.tsc('up', '--no-wait');
    expect(result.code).toBe(1);
    expect(requests).toEqual([]);
    expect(result.stderr).toContain('compose.yaml:5:9: service web: ');
    expect(result.stderr).toContain('may be written, and is not on a machine of the cluster');
    expect(result.stderr).toContain('add :ro if it is only read');
    expect(result.stderr).toContain('/none does not exist here');
    expect(result.stderr).toContain('/big is too large to travel');
    expect(result.stderr).toContain('3 bind mounts cannot be carried to the cluster');
  });
});

describe('on a machine of the cluster', () => {
  test('bind mounts stay what they are, and those outside the folder are told apart', async () => {
    isHere = true;
    project('./data:/data', '../shared:/shared', '/srv/media:/media');
    expect(await house.tsc('up', '--no-wait')).toMatchObject({ code: 0 });
    expect(source()).toBe(`${house.folder}/data`);
    const shared = `${house.folder.slice(0, house.folder.lastIndexOf('/'))}/shared`;
    expect(requests[0]?.relativeBinds).toEqual([`${house.folder}/data`, shared].sort());
  });
});

describe('whether a command runs on the machine of the agent', () => {
  test('is shown by a token beside the socket and by the same folder', async () => {
    const reader = new MachineFactsReader({
      runDir: house.folder,
      engineRoot: async () => undefined,
    });
    await reader.start();
    const request = await hereRequest(`${house.folder}/agent.sock`, house.folder);
    expect(await reader.isHere(request)).toEqual({ isHere: true });
    expect(await reader.isHere({ ...request, folder: '/' })).toEqual({ isHere: false });
    expect(await reader.isHere({ ...request, identity: '1:1' })).toEqual({ isHere: false });
    const { token: _, ...forwarded } = request;
    expect(await reader.isHere(forwarded)).toEqual({ isHere: false });
    expect(await reader.isHere({ ...request, token: 'other' })).toEqual({ isHere: false });
  });

  test('which paths exist and what is free is read from the disk', async () => {
    const reader = new MachineFactsReader({
      runDir: house.folder,
      engineRoot: async () => house.folder,
    });
    const facts = await reader.read([house.folder, `${house.folder}/nothing`]);
    expect(facts.existing).toEqual([house.folder]);
    expect(facts.freeDiskBytes).toBeGreaterThan(0);
    expect(facts.freeMemoryBytes).toBeGreaterThan(0);
  });
});

describe('x-caddy', () => {
  const file = (value: string): string =>
    `services:\n  web:\n    image: busybox\n    x-caddy: ${value}\n`;

  test('that names a file travels with its content', async () => {
    house.write('compose.yaml', file('./site.caddy'));
    house.write('site.caddy', 'example.com {\n  respond hi\n}');
    expect(await house.tsc('up', '--no-wait')).toMatchObject({ code: 0 });
    const config = 'example.com {\n  respond hi\n}\n';
    expect(requests[0]?.project.services['web']?.['x-caddy']).toEqual({ config });
  });

  test('that names no file is refused with its place', async () => {
    house.write('compose.yaml', file('./nothing'));
    const result = await house.tsc('up', '--no-wait');
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /compose.yaml:4:5: services.web.x-caddy: .*nothing cannot be read/,
    );
  });

  test('that the agent refuses is shown where it stands', async () => {
    house.write('compose.yaml', file('{ config: "a {" }'));
    house.write('a {', 'a {');
    refusal = new TscError(
      'E_COMPOSE_X_CADDY',
      'services.web.x-caddy: Caddyfile:1: unexpected end',
    );
    const result = await house.tsc('up', '--no-wait');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('compose.yaml:4:5: services.web.x-caddy: Caddyfile:1:');
  });
});
