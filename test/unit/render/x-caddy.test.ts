import { describe, expect, test } from 'vitest';
import type { Json, Service } from '../../../src/model/project.ts';
import { renderIngress } from '../../../src/render/ingress.ts';
import { ingressPorts } from '../../../src/render/ingress-routes.ts';
import { renderUpstreams } from '../../../src/render/ingress-upstreams.ts';
import {
  caddyfileOf,
  caddyfilePathOf,
  expandCaddyfile,
  hostsOfSites,
  readAdapted,
  targetsOfSites,
} from '../../../src/render/x-caddy.ts';
import { aContainer, aProject, machineId, World } from '../../lib/builders.ts';

const a = machineId('a');

/** What Caddy makes of a site that passes everything on. */
const proxying = (host: string, dial: string): Json => ({
  match: [{ host: [host] }],
  handle: [
    {
      handler: 'subroute',
      routes: [{ handle: [{ handler: 'reverse_proxy', upstreams: [{ dial }] }] }],
    },
  ],
  terminal: true,
});

const adapted = (server: object, apps: object = {}) => ({
  apps: { http: { servers: { srv0: server } }, ...apps },
});

const web = 'web.upstreams.tsc-compose.invalid:8000';

describe('the Caddyfile of a service', () => {
  test('is text, or the path of a file, alone or under "config"', () => {
    expect(caddyfileOf('web', {})).toBeUndefined();
    expect(caddyfilePathOf('web', { 'x-caddy': './Caddyfile' })).toBe('./Caddyfile');
    expect(caddyfilePathOf('web', { 'x-caddy': { config: 'Caddyfile' } })).toBe('Caddyfile');
    const inline = 'example.com {\n  respond hi\n}\n';
    expect(caddyfilePathOf('web', { 'x-caddy': inline })).toBeUndefined();
    expect(caddyfileOf('web', { 'x-caddy': { config: inline } })).toBe(inline);
  });

  test.each<[string, Service, string]>([
    ['a list', { 'x-caddy': ['a'] }, 'it is a Caddyfile'],
    ['http entries of x-ports', { 'x-caddy': 'a\n', 'x-ports': ['80/http'] }, 'it excludes http'],
  ])('beside or as %s is refused', (_title, spec, why) => {
    expect(() => caddyfileOf('web', spec)).toThrow(why);
  });

  test('names upstreams by templates', () => {
    const services = ['web', 'api'];
    const text =
      'x {\n reverse_proxy {{upstreams 8000}} {{ upstreams "api" }} {{upstreams api 81}}\n # {{.Name}}\n}';
    expect(expandCaddyfile('web', text, services)).toBe(
      'x {\n reverse_proxy web.upstreams.tsc-compose.invalid:8000 api.upstreams.tsc-compose.invalid:80 ' +
        'api.upstreams.tsc-compose.invalid:81\n # web\n}',
    );
    expect(() => expandCaddyfile('web', '{{upstreams db 1}}', services)).toThrow(
      'there is no service "db"',
    );
    expect(() => expandCaddyfile('web', '{{env "X"}}', services)).toThrow('is not known');
  });
});

describe('what Caddy made of it', () => {
  test('is read as routes by port', () => {
    const found = readAdapted(
      'web',
      adapted(
        { listen: [':443'], routes: [proxying('Shop.example.com', web)] },
        { tls: { automation: { policies: [{ subjects: ['shop.example.com'] }] } } },
      ),
    );
    expect(found.sites.map(({ port, isSecure }) => [port, isSecure])).toEqual([[443, true]]);
    expect(found.policies).toHaveLength(1);
    expect(hostsOfSites(found)).toEqual(['shop.example.com']);
    expect(targetsOfSites(found)).toEqual([{ service: 'web', port: 8000 }]);
    const plain = adapted({ listen: [':8080'], routes: [], automatic_https: { skip: ['x'] } });
    expect(readAdapted('web', plain).sites).toEqual([{ port: 8080, isSecure: false, routes: [] }]);
  });

  test.each([
    ['global options', { admin: { disabled: true }, apps: {} }, '"admin" cannot be set'],
    ['another app', { apps: { layer4: {} } }, '"layer4" cannot be set'],
    ['logs', adapted({ listen: [':80'], logs: {} }), '"logs" cannot be set'],
    ['an address of its own', adapted({ listen: ['10.0.0.1:80'] }), 'the address 10.0.0.1:80'],
    ['certificates from files', { apps: { tls: { certificates: {} } } }, '"certificates" cannot'],
    [
      'a policy for all names',
      { apps: { tls: { automation: { policies: [{}] } } } },
      'how all certificates are made',
    ],
  ])('with %s is refused', (_title, value, why) => {
    expect(() => readAdapted('web', value)).toThrow(why);
  });
});

describe('the ingress', () => {
  function running(...replicas: string[]): World {
    const world = new World('a', 'b');
    const caddy = {
      web: readAdapted(
        'web',
        adapted({ listen: [':443'], routes: [proxying('shop.example.com', web)] }),
      ),
    };
    const spec = { deploy: { replicas: 2 }, 'x-caddy': 'shop.example.com {\n}\n' };
    world.up('a', aProject({ web: spec }), { caddy });
    const { hash, rollout } = world.service('web');
    for (const [index, ip] of replicas.entries()) {
      world.container('a', `c${index}`, aContainer({ hash, rollout, ip, slot: `${index + 1}` }));
    }
    return world;
  }

  test('takes the routes in, with the addresses of the replicas in files', () => {
    const view = running('10.210.1.2', '10.210.1.3').view('a');
    expect(Object.fromEntries(renderUpstreams(view, a))).toEqual({
      'app.web.8000.1': '10.210.1.2:8000',
      'app.web.8000.2': '10.210.1.3:8000',
    });
    const text = JSON.stringify(renderIngress(view, a));
    expect(text).toContain('{"dial":"{file./run/tsc-compose/caddy/upstreams/app.web.8000.1}"}');
    expect(text).toMatch(/"load_balancing":\{"try_duration":\d+/);
    expect(text).not.toContain('tsc-compose.invalid');
    expect(ingressPorts(view)).toEqual([80, 443]);
    // Plain requests for the host are sent to the secure port.
    expect(text).toContain(
      '"host":["shop.example.com"]}],"handle":[{"handler":"static_response","status_code":308',
    );
  });

  test('can be had without them, when Caddy refuses one', () => {
    const view = running('10.210.1.2').view('a');
    expect(JSON.stringify(renderIngress(view, a, true))).not.toContain('shop.example.com');
  });

  test('forgets them with the key', () => {
    const world = running('10.210.1.2');
    world.up('a', aProject({ web: { deploy: { replicas: 2 } } }));
    expect(renderIngress(world.view('a'), a)).toBeNull();
  });
});

test('two services cannot answer for one host', () => {
  const world = new World('a');
  const caddy = (name: string) => ({
    [name]: readAdapted(
      name,
      adapted({ listen: [':443'], routes: [proxying('shop.example.com', web)] }),
    ),
  });
  const own = { 'x-caddy': 'x\n' };
  world.up('a', aProject({ web: own }), { caddy: caddy('web') });
  const second = { ...aProject({ api: own }), name: 'second' };
  expect(() => world.accept('a', second, { caddy: caddy('api') })).toThrow(
    'hostname "shop.example.com" of service "api" is answered by service "web" of project "app"',
  );
  const third = {
    ...aProject({ api: { 'x-ports': ['shop.example.com:80/http'] } }),
    name: 'third',
  };
  expect(() => world.accept('a', third)).toThrow('is answered by');
  expect(world.accept('a', aProject({ web: own }), { caddy: caddy('web') }).changed).toEqual([]);
});
