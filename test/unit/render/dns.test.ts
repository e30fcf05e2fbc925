/** One table from a view with three projects; every case is a question and its whole answer. */
import { describe, expect, test } from 'vitest';
import type { ContainerView, View } from '../../../src/model/view.ts';
import { renderDns } from '../../../src/render/dns.ts';
import { answer } from '../../../src/render/dns-answer.ts';
import type { DnsTable } from '../../../src/render/dns-table.ts';
import { aContainer, aMachine, aProject, aView, machineId, shopAndBlog } from './view-builder.ts';

const tableOf = (view: View, self = 'a'): DnsTable => {
  const table = renderDns(view, machineId(self));
  if (table === null) throw new Error('this machine is a member');
  return table;
};

/** The answer in short: addresses, or what was said instead. */
function ask(table: DnsTable, asker: string, name: string, type = 'A', random = 0): string {
  const result = answer(table, asker, { name, type }, random);
  if (result.type === 'forward') return ['forward', ...result.upstreams].join(' ');
  if (result.type !== 'records') return result.type;
  const texts = result.records.map((record) =>
    record.type === 'A'
      ? record.address
      : record.type === 'SRV'
        ? `${record.target}:${record.port}`
        : record.target,
  );
  return texts.length === 0 ? 'empty' : texts.join(' ');
}

const shop = tableOf(shopAndBlog());
const [api, db, blogWeb] = ['10.210.1.4', '10.210.1.5', '10.210.1.9'];

describe('a container asks', () => {
  test.each([
    // service names, in any case, with and without the root's dot
    [api, 'web', 'A', '10.210.2.2 10.210.3.2'],
    [api, 'WEB.', 'A', '10.210.2.2 10.210.3.2'],
    [api, 'web.internal', 'A', '10.210.2.2 10.210.3.2'],
    [api, 'web.shop', 'A', '10.210.2.2 10.210.3.2'],
    [api, 'web.shop.internal', 'A', '10.210.2.2 10.210.3.2'],
    [api, 'rr.web.internal', 'A', '10.210.2.2 10.210.3.2'],
    // the same name belongs to the asker's own project
    [blogWeb, 'web', 'A', '10.210.1.9'],
    // networks
    [api, 'api.back', 'A', '10.210.1.4 10.210.2.4'],
    [api, 'api.shop_back', 'A', '10.210.1.4 10.210.2.4'],
    [api, 'backend', 'A', '10.210.1.4 10.210.2.4'],
    [db, 'backend', 'A', 'nxdomain'],
    [db, 'api', 'A', '10.210.1.4 10.210.2.4'],
    [db, 'web', 'A', 'nxdomain'],
    [blogWeb, 'web.shop', 'A', 'nxdomain'],
    // single replicas
    [api, 'tasks.web', 'A', '10.210.2.2 10.210.3.2'],
    [api, 'web-2', 'A', '10.210.3.2'],
    [api, '2.web', 'A', '10.210.3.2'],
    [api, 'shop-web-2', 'A', '10.210.3.2'],
    [api, 'shop-web-2.internal', 'A', '10.210.3.2'],
    [api, 'machine-b.m.web.internal', 'A', '10.210.2.2'],
    [api, 'database', 'A', '10.210.1.5'],
    // machines
    [api, 'machine-b.m.internal', 'A', '10.210.2.1'],
    // known names without such a record, and a service without replicas
    [api, 'web', 'AAAA', 'empty'],
    [api, 'web', 'TXT', 'empty'],
    [api, 'machine-b.m', 'AAAA', 'empty'],
    [db, 'cache', 'A', 'empty'],
    [api, 'tasks.cache', 'A', 'empty'],
    // reverse
    [api, '2.2.210.10.in-addr.arpa', 'PTR', 'shop-web-1.internal'],
    [api, '1.2.210.10.in-addr.arpa', 'PTR', 'machine-b.m.internal'],
    [api, '9.1.210.10.in-addr.arpa', 'PTR', 'nxdomain'],
    [api, '77.1.210.10.in-addr.arpa', 'PTR', 'nxdomain'],
    [api, '8.8.8.8.in-addr.arpa', 'PTR', 'forward'],
    // services
    [api, 'web', 'SRV', 'shop-web-1.internal:80 shop-web-2.internal:80'],
    [api, '_80._tcp.web', 'SRV', 'shop-web-1.internal:80 shop-web-2.internal:80'],
    [api, '_http._tcp.web', 'SRV', 'shop-web-1.internal:80 shop-web-2.internal:80'],
    [api, '_http._udp.web', 'SRV', 'empty'],
    [api, '_81._tcp.web', 'SRV', 'empty'],
    [api, '_80._tcp.web', 'A', 'empty'],
    // everything else
    [api, 'example.com', 'A', 'forward'],
    [api, 'metadata.google.internal', 'A', 'forward'],
    [api, 'unknown', 'A', 'forward'],
    [api, 'constructor', 'A', 'forward'],
    [api, '__proto__', 'A', 'forward'],
    [api, 'toString.shop', 'A', 'forward'],
  ])('%s asks for %s %s: %s', (asker, name, type, expected) => {
    expect(ask(shop, asker, name, type)).toBe(expected);
  });

  test('and gets the addresses rotated', () => {
    expect(ask(shop, api, 'web', 'A', 0.49)).toBe('10.210.2.2 10.210.3.2');
    expect(ask(shop, api, 'web', 'A', 0.5)).toBe('10.210.3.2 10.210.2.2');
    expect(ask(shop, api, 'web', 'A', 0.999)).toBe('10.210.3.2 10.210.2.2');
  });

  test('and gets those of its own machine first when it asks for the nearest', () => {
    const onC = tableOf(shopAndBlog(), 'c');
    expect(ask(onC, '10.210.1.4', 'nearest.web.internal')).toBe('10.210.3.2 10.210.2.2');
  });

  test('and gets the addresses of SRV targets with them', () => {
    const result = answer(shop, api, { name: '_80._tcp.web', type: 'SRV' }, 0);
    expect(result).toMatchObject({
      additionals: [
        { type: 'A', name: 'shop-web-1.internal', address: '10.210.2.2' },
        { type: 'A', name: 'shop-web-2.internal', address: '10.210.3.2' },
      ],
    });
  });
});

describe('who asks', () => {
  test('a machine is told qualified names of every project, and no bare ones', () => {
    expect(ask(shop, '10.210.1.1', 'db.shop')).toBe('10.210.1.5');
    expect(ask(shop, '10.210.1.1', 'web.blog.internal')).toBe('10.210.1.9');
    expect(ask(shop, '10.210.1.1', 'db')).toBe('forward');
  });

  test('a container that no record names yet is to be asked again', () => {
    expect(ask(shop, '10.210.1.200', 'web')).toBe('unknown-asker');
    expect(ask(shop, '10.210.3.200', 'example.com')).toBe('unknown-asker');
  });

  test('outsiders are refused', () => {
    expect(ask(shop, '192.0.2.9', 'web')).toBe('refuse');
    expect(ask(shop, '192.0.2.9', 'example.com')).toBe('refuse');
  });

  test('containers of other machines are known by their address', () => {
    expect(ask(shop, '10.210.3.2', 'api')).toBe('10.210.1.4 10.210.2.4');
  });
});

describe('which replicas are named', () => {
  const place = { project: 'shop', service: 'web', machine: 'a' };
  const asker = aContainer({ project: 'shop', service: 'ask', machine: 'a', ip: '10.210.1.9' });
  const replicas = (...changes: readonly Partial<ContainerView>[]): DnsTable =>
    tableOf(
      aView({
        machines: [
          aMachine('a'),
          aMachine('b', { liveness: 'headless' }),
          aMachine('c', { liveness: 'unreachable' }),
        ],
        projects: [aProject('shop', { web: {}, ask: {} })],
        containers: [
          asker,
          ...changes.map((change, i) =>
            aContainer({ ...place, ip: `10.210.1.${i + 2}`, slot: `${i + 1}` }, change),
          ),
        ],
      }),
    );
  const notReady = { ready: false };
  const leaving = { draining: true };
  const silent = { machine: machineId('c') };
  const headless = { machine: machineId('b') };

  test.each([
    ['ready ones', [{}, notReady, leaving], '10.210.1.2'],
    ['all that run when none is ready', [notReady, notReady, leaving], '10.210.1.2 10.210.1.3'],
    ['leaving ones when there are no others', [leaving], '10.210.1.2'],
    ['those on headless machines', [headless, notReady], '10.210.1.2'],
    ['not those on silent machines', [silent, notReady], '10.210.1.3'],
    ['those on silent machines rather than nothing', [silent], '10.210.1.2'],
    ['none that has ended', [{ state: 'exited' } as const], 'empty'],
    ['none without an address', [{ ip: '' }], 'empty'],
  ])('by the service: %s', (_what, changes, expected) => {
    expect(ask(replicas(...changes), asker.ip, 'web')).toBe(expected);
  });

  test('by tasks, slot and container name: all that run, ready or not', () => {
    const table = replicas({}, notReady, leaving);
    expect(ask(table, asker.ip, 'tasks.web')).toBe('10.210.1.2 10.210.1.3 10.210.1.4');
    expect(ask(table, asker.ip, 'web-2')).toBe('10.210.1.3');
    expect(ask(table, asker.ip, 'shop-web-3')).toBe('10.210.1.4');
  });

  test('a hostname equal to the service name adds no replica that is not ready', () => {
    const table = replicas({ aliases: ['web'] }, { ready: false, aliases: ['web'] });
    expect(ask(table, asker.ip, 'web')).toBe('10.210.1.2');
  });
});

test('a defined hostname or container name without a container is empty, not unknown', () => {
  const project = aProject('shop', {
    web: { hostname: 'front', container_name: 'the-web' },
    ask: {},
  });
  const asker = aContainer({ project: 'shop', service: 'ask', machine: 'a', ip: '10.210.1.9' });
  const table = tableOf(aView({ projects: [project], containers: [asker] }));
  expect(ask(table, asker.ip, 'front')).toBe('empty');
  expect(ask(table, asker.ip, 'the-web')).toBe('empty');
});

test('a service of another project on a shared network answers to its bare name', () => {
  const shared = { default: { name: 'proxy', external: true } };
  const view = aView({
    projects: [aProject('edge', { proxy: {} }, shared), aProject('shop', { web: {} }, shared)],
    containers: [
      aContainer({ project: 'edge', service: 'proxy', machine: 'a', ip: '10.210.1.2' }),
      aContainer({ project: 'shop', service: 'web', machine: 'b', ip: '10.210.2.2' }),
    ],
  });
  expect(ask(tableOf(view), '10.210.1.2', 'web')).toBe('10.210.2.2');
  expect(ask(tableOf(view), '10.210.1.2', 'web.proxy')).toBe('10.210.2.2');
});

test("a service's own resolvers are asked for what is not ours", () => {
  const project = aProject('shop', { web: { dns: ['9.9.9.9', '1.1.1.1'] } });
  const asker = aContainer({ project: 'shop', service: 'web', machine: 'a', ip: '10.210.1.2' });
  const table = tableOf(aView({ projects: [project], containers: [asker] }));
  expect(ask(table, asker.ip, 'example.com')).toBe('forward 9.9.9.9 1.1.1.1');
  expect(ask(table, asker.ip, 'web')).toBe('10.210.1.2');
});

test('the table survives being sent as text', () => {
  const copy = JSON.parse(JSON.stringify(shop)) as DnsTable;
  expect(copy).toEqual(shop);
});

test('there is no table while this machine is not a member', () => {
  expect(renderDns(aView({ machines: [] }), machineId('a'))).toBeNull();
});
