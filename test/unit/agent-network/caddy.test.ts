/** The driver with a small engine and a small Caddy: a real HTTP server on a unix socket. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type CaddyContainerBody, CaddyDriver, type CaddyEngine } from '../../../agent/caddy.ts';
import type { ClusterId } from '../../../src/model/ids.ts';
import type { CaddyConfig } from '../../../src/render/ingress.ts';
import { aLog } from './silent-log.ts';

const notFound = (): Error => Object.assign(new Error('no such thing'), { statusCode: 404 });
const config = (name: string): CaddyConfig => ({ admin: { listen: 'unix' }, apps: { name } });

class FakeMachine {
  readonly folder = mkdtempSync(join(tmpdir(), 'tsc-caddy-'));
  readonly events: string[] = [];
  /** Questions after the container and after the configuration. */
  askedCount = 0;
  hasImage = true;
  refusal: string | undefined;
  /** Configurations that hold this text are refused. */
  refused: string | undefined;
  container: { body: CaddyContainerBody; running: boolean } | undefined;
  loaded: unknown = null;
  #server: Server | undefined;

  readonly engine: CaddyEngine = {
    getContainer: () => ({
      inspect: async () => {
        this.askedCount += 1;
        if (this.container === undefined) throw notFound();
        const { body, running } = this.container;
        return { State: { Running: running }, Config: { Labels: body.Labels } };
      },
      start: async () => {
        this.events.push('start');
        if (this.container === undefined) throw notFound();
        this.container.running = true;
        this.loaded = JSON.parse(this.file());
        await this.serve();
      },
      remove: async () => {
        this.events.push('remove');
        this.container = undefined;
        await this.die();
      },
    }),
    createContainer: async (body) => {
      this.events.push('create');
      this.container = { body, running: false };
    },
    getImage: () => ({
      inspect: async () => {
        if (!this.hasImage) throw notFound();
      },
    }),
  };

  file(): string {
    return readFileSync(join(this.folder, 'data/caddy/caddy.json'), 'utf8');
  }

  driver(image = 'caddy:2'): CaddyDriver {
    return new CaddyDriver({
      docker: this.engine,
      image,
      runtimeDir: join(this.folder, 'run'),
      dataDir: join(this.folder, 'data'),
      clusterId: 'cluster' as ClusterId,
      log: aLog().log,
    });
  }

  async serve(): Promise<void> {
    const server = createServer((request, response) => {
      if (request.headers.host !== 'localhost') {
        response.writeHead(403).end('{"error":"host not allowed"}');
        return;
      }
      if (request.method === 'GET') {
        this.askedCount += 1;
        response.end(JSON.stringify(this.loaded));
        return;
      }
      let text = '';
      request.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      request.on('end', () => {
        const isRefused = this.refused !== undefined && text.includes(this.refused);
        if (this.refusal !== undefined || isRefused) {
          response.writeHead(400).end(JSON.stringify({ error: this.refusal ?? 'not like this' }));
          return;
        }
        this.events.push('load');
        this.loaded = JSON.parse(text);
        response.end();
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => {
      server.listen(join(this.folder, 'run/caddy/admin.sock'), resolve);
    });
  }

  /** Caddy ends, as by a crash. */
  async die(): Promise<void> {
    if (this.container !== undefined) this.container.running = false;
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}

const machines: FakeMachine[] = [];
function aMachine(): FakeMachine {
  const machine = new FakeMachine();
  machines.push(machine);
  return machine;
}
afterEach(async () => {
  for (const machine of machines.splice(0)) {
    await machine.die();
    rmSync(machine.folder, { recursive: true });
  }
});

describe('the ingress driver', () => {
  test('starts Caddy for the first configuration and only loads the next ones', async () => {
    const machine = aMachine();
    const driver = machine.driver();
    await driver.set(config('one'));
    expect(machine.events).toEqual(['create', 'start', 'load']);
    await driver.set(config('one'));
    await driver.set(config('two'));
    expect(machine.events).toEqual(['create', 'start', 'load', 'load']);
    expect(machine.loaded).toEqual(config('two'));
    expect(driver.status()).toEqual({ isWanted: true, isApplied: true, error: undefined });
  });

  test('asks a Caddy that it has loaded nothing before it loads the next one', async () => {
    const machine = aMachine();
    const driver = machine.driver();
    await driver.set(config('one'));
    machine.askedCount = 0;
    await driver.set(config('two'));
    expect(machine.askedCount).toBe(0);
    expect(machine.loaded).toEqual(config('two'));
  });

  test('brings back at once a Caddy that does not take the next configuration', async () => {
    const machine = aMachine();
    const driver = machine.driver();
    await driver.set(config('one'));
    await machine.die();
    await driver.set(config('two'));
    expect(driver.status()).toEqual({ isWanted: true, isApplied: true, error: undefined });
    expect(machine.container?.running).toBe(true);
    expect(machine.loaded).toEqual(config('two'));
  });

  test('changes an address without a reload, and removes files that nothing reads', async () => {
    const machine = aMachine();
    const upstream = (name: string): string =>
      readFileSync(join(machine.folder, 'run/caddy/upstreams', name), 'utf8');
    // Where an agent of an earlier version wrote them.
    const earlier = join(machine.folder, 'data/caddy/upstreams');
    mkdirSync(earlier, { recursive: true });
    const driver = machine.driver();
    await driver.set(config('one'), new Map([['a.b.80.1', '10.0.0.1:80']]));
    expect(upstream('a.b.80.1')).toBe('10.0.0.1:80');
    expect(existsSync(earlier)).toBe(false);
    machine.events.length = 0;
    await driver.set(config('one'), new Map([['a.b.80.1', '10.0.0.2:80']]));
    expect(machine.events).toEqual([]);
    expect(upstream('a.b.80.1')).toBe('10.0.0.2:80');
    await driver.set(config('two'), new Map([['a.c.80.1', '10.0.0.3:80']]));
    expect(upstream('a.c.80.1')).toBe('10.0.0.3:80');
    expect(() => upstream('a.b.80.1')).toThrow('ENOENT');
  });

  test('runs it on the machine itself, marked as ours, to be started again by the engine', async () => {
    const machine = aMachine();
    await machine.driver().set(config('one'));
    expect(machine.container?.body).toMatchObject({
      name: 'tsc-compose-caddy',
      Image: 'caddy:2',
      Labels: { 'tsc-compose.system': 'caddy', 'tsc-compose.cluster': 'cluster' },
      HostConfig: { NetworkMode: 'host', RestartPolicy: { Name: 'unless-stopped' } },
    });
    expect(JSON.parse(machine.file())).toEqual(config('one'));
  });

  test('does not reload what a predecessor left running', async () => {
    const machine = aMachine();
    await machine.driver().set(config('one'));
    machine.events.length = 0;
    await machine.driver().set(config('one'));
    expect(machine.events).toEqual([]);
  });

  test('makes the container anew when its image changes', async () => {
    const machine = aMachine();
    await machine.driver().set(config('one'));
    machine.events.length = 0;
    await machine.driver('caddy:2.11').set(config('one'));
    expect(machine.events).toEqual(['remove', 'create', 'start', 'load']);
  });

  test('brings back a container that has ended', async () => {
    const machine = aMachine();
    await machine.driver().set(config('one'));
    await machine.die();
    await machine.driver().set(config('one'));
    expect(machine.loaded).toEqual(config('one'));
    expect(machine.container?.running).toBe(true);
  });

  test('removes the container when nobody needs it, and only then', async () => {
    const machine = aMachine();
    const driver = machine.driver();
    await driver.set(null);
    expect(machine.events).toEqual([]);
    await driver.set(config('one'));
    await driver.set(null);
    expect(machine.container).toBeUndefined();
    expect(driver.status()).toEqual({ isWanted: false, isApplied: true, error: undefined });
  });

  test('tells a missing image by its status and goes on when it comes', async () => {
    const machine = aMachine();
    machine.hasImage = false;
    const driver = machine.driver();
    await driver.set(config('one'));
    expect(driver.status()).toMatchObject({
      isApplied: false,
      error: { code: 'E_IMAGE_NOT_FOUND' },
    });
    expect(driver.status().error?.hint).toContain('docker pull caddy:2');
    machine.hasImage = true;
    await driver.set(config('one'));
    expect(driver.status()).toMatchObject({ isApplied: true, error: undefined });
  });

  test("tells Caddy's reason when it refuses, and keeps what was in force", async () => {
    const machine = aMachine();
    const driver = machine.driver();
    await driver.set(config('one'));
    machine.refusal = 'listening on :80: address already in use';
    await driver.set(config('two'));
    expect(driver.status().error?.message).toContain('address already in use');
    expect(machine.loaded).toEqual(config('one'));
    expect(JSON.parse(machine.file())).toEqual(config('one'));
    await driver.stop();
  });

  test('tries again by itself after a failure', async () => {
    const machine = aMachine();
    const driver = machine.driver();
    machine.refusal = 'not yet';
    await driver.set(config('one'));
    machine.refusal = undefined;
    await expect.poll(() => driver.status().isApplied, { interval: 50, timeout: 3_000 }).toBe(true);
  });

  test('leaves a container of the same name that is not ours alone', async () => {
    const machine = aMachine();
    const driver = machine.driver();
    await driver.set(config('one'));
    const { body } = machine.container ?? {};
    if (body !== undefined) body.Labels = {};
    machine.events.length = 0;
    const other = machine.driver();
    await other.set(config('two'));
    expect(other.status().error?.code).toBe('E_CADDY_NAME_TAKEN');
    expect(machine.events).toEqual([]);
    await other.stop();
  });
});

test('one service’s own Caddyfile that is refused costs the others nothing, and is told', async () => {
  const machine = aMachine();
  const driver = machine.driver();
  machine.refused = 'bad';
  await driver.set(config('bad'), new Map(), () => config('good'));
  expect(machine.loaded).toEqual(config('good'));
  expect(driver.status()).toMatchObject({ isApplied: false, error: { code: 'E_CADDY_REFUSED' } });
  const notAsked = () => expect.fail('what is taken needs nothing in its place');
  await driver.set(config('fine'), new Map(), notAsked);
  expect(machine.loaded).toEqual(config('fine'));
  expect(driver.status()).toMatchObject({ isApplied: true, error: undefined });
  await driver.stop();
});
