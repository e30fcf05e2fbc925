import { describe, expect, test } from 'vitest';
import type { Json } from '../../../src/model/project.ts';
import type { ContainerView, View } from '../../../src/model/view.ts';
import { renderIngress } from '../../../src/render/ingress.ts';
import { ingressPorts } from '../../../src/render/ingress-routes.ts';
import { renderUpstreams } from '../../../src/render/ingress-upstreams.ts';
import { expectGolden } from './golden.ts';
import { aContainer, aMachine, aProject, aView, machineId, shopAndBlog } from './view-builder.ts';

const a = machineId('a');
const textOf = (view: View): string => `${JSON.stringify(renderIngress(view, a), null, 2)}\n`;
const viewOf = (xPorts: Json, ips: readonly string[] = ['10.210.1.2']): View =>
  aView({
    projects: [aProject('shop', { web: { 'x-ports': xPorts } })],
    containers: ips.map((ip, i) =>
      aContainer({ project: 'shop', service: 'web', machine: 'a', ip, slot: `${i + 1}` }),
    ),
  });

describe("Caddy's configuration", () => {
  test('for one http host', () => {
    expectGolden('ingress-http.json', textOf(viewOf(['shop.localhost:80/http'])));
  });

  test('for https beside http, with redirects before the route for every host', () => {
    expectGolden('ingress-https.json', textOf(shopAndBlog()));
  });

  test('is the same whatever the order of containers', () => {
    const view = shopAndBlog();
    const reversed = { ...view, containers: view.containers.toReversed() };
    expect(textOf(reversed)).toBe(textOf(view));
  });

  test('is nothing when no service asks for http, or the machine has no ingress', () => {
    expect(renderIngress(viewOf(['5432:5432/tcp']), a)).toBeNull();
    expect(renderIngress(aView({}), a)).toBeNull();
    const machines = [aMachine('a', { hasIngress: false })];
    expect(renderIngress({ ...viewOf(['80/http']), ...aView({ machines }) }, a)).toBeNull();
  });

  test('says so when a service has no replica at all', () => {
    expect(textOf(viewOf(['80/http'], []))).toContain('web has no running replica');
  });

  test('turns TLS off on every port that speaks plain http', () => {
    const text = textOf(viewOf(['a.example.com:8081:80/http', 'b.example.com:80/https']));
    const { apps } = JSON.parse(text) as {
      apps: { http: { servers: Record<string, { automatic_https: Json }> } };
    };
    const policies = Object.entries(apps.http.servers).map(([name, server]) => [
      name,
      server.automatic_https,
    ]);
    expect(policies).toEqual([
      ['port-80', { disable: true }],
      ['port-443', { disable_redirects: true }],
      ['port-8081', { disable: true }],
    ]);
  });

  test('uses the internal issuer for names that no authority certifies only', () => {
    const text = textOf(viewOf(['shop.internal:80/https', 'shop.example.com:80/https']));
    expect(text).toContain('"internal"');
    const { apps } = JSON.parse(text) as { apps: { tls: { automation: { policies: Json } } } };
    expect(apps.tls.automation.policies).toEqual([
      { subjects: ['shop.internal'], issuers: [{ module: 'internal' }] },
    ]);
    expect(textOf(viewOf(['shop.example.com:80/https']))).not.toContain('"tls"');
  });

  test('prefers exact names to wildcards, and gives a host that two claim to the first', () => {
    const view = aView({
      projects: [
        aProject('blog', {
          web: { 'x-ports': ['*.example.com:80/http', 'x.example.com:81/http'] },
        }),
        aProject('shop', { web: { 'x-ports': ['x.example.com:82/http', '80/http'] } }),
      ],
      containers: [
        aContainer({ project: 'blog', service: 'web', machine: 'a', ip: '10.210.1.2' }),
        aContainer({ project: 'shop', service: 'web', machine: 'a', ip: '10.210.1.3' }),
      ],
    });
    const dials = [...textOf(view).matchAll(/"dial": "([^"]+)"/g)].map((match) => match[1]);
    expect(dials).toEqual([
      '{file./run/tsc-compose/caddy/upstreams/blog.web.81.1}',
      '{file./run/tsc-compose/caddy/upstreams/blog.web.80.1}',
      '{file./run/tsc-compose/caddy/upstreams/shop.web.80.1}',
    ]);
    expect(Object.fromEntries(renderUpstreams(view, a))).toEqual({
      'blog.web.80.1': '10.210.1.2:80',
      'blog.web.81.1': '10.210.1.2:81',
      'shop.web.80.1': '10.210.1.3:80',
    });
  });
});

describe('the files with the addresses', () => {
  const replicas = (count: number, ips: readonly string[]): View =>
    aView({
      projects: [
        aProject('shop', { web: { 'x-ports': ['80/http'], deploy: { replicas: count } } }),
      ],
      containers: ips.map((ip, i) =>
        aContainer({ project: 'shop', service: 'web', machine: 'a', ip, slot: `${i + 1}` }),
      ),
    });
  const withSlots = (count: number, slots: readonly number[]): View => {
    const view = replicas(count, []);
    const containers = slots.map((slot) =>
      aContainer({
        project: 'shop',
        service: 'web',
        machine: 'a',
        ip: `10.210.1.${slot + 1}`,
        slot: `${slot}`,
      }),
    );
    return { ...view, containers };
  };
  const slotsUpTo = (count: number): readonly number[] =>
    Array.from({ length: count }, (_, index) => index + 1);
  const texts = (view: View): readonly string[] => [...renderUpstreams(view, a).values()];

  test('are as many as there should be replicas; addresses repeat while some are missing', () => {
    const [first, second, third] = texts(replicas(3, ['10.210.1.2', '10.210.1.3']));
    expect([first, second]).toEqual(['10.210.1.2:80', '10.210.1.3:80']);
    expect([first, second]).toContain(third);
  });

  test('have every usable replica, and none more often than its share', () => {
    for (let running = 1; running <= 30; running++) {
      const counts = new Map<string, number>();
      for (const text of texts(withSlots(30, slotsUpTo(30).slice(-running)))) {
        counts.set(text, (counts.get(text) ?? 0) + 1);
      }
      expect(counts.size).toBe(running);
      expect(Math.max(...counts.values())).toBe(Math.ceil(30 / running));
    }
  });

  test('keep their addresses where they can: thirty replicas that start do not write all anew', () => {
    let changeCount = 0;
    for (let count = 3; count < 30; count++) {
      const after = texts(withSlots(30, slotsUpTo(count + 1)));
      changeCount += texts(withSlots(30, slotsUpTo(count))).filter(
        (text, index) => text !== after[index],
      ).length;
    }
    expect(changeCount).toBeLessThan(150);
    const whole = texts(withSlots(30, slotsUpTo(30)));
    const without = texts(withSlots(30, slotsUpTo(30).slice(1)));
    expect(whole.filter((text, index) => text !== without[index])).toHaveLength(1);
  });

  test('lead to the new replica of a slot when the old one has gone', () => {
    const [old, other] = withSlots(2, [1, 2]).containers;
    if (old === undefined || other === undefined) throw new Error('no replicas');
    const newer = { ...old, ip: '10.210.1.9' };
    const textsOf = (...containers: readonly ContainerView[]): readonly string[] =>
      texts({ ...withSlots(2, []), containers });
    expect(textsOf(old, newer, other)).toEqual(['10.210.1.2:80', '10.210.1.3:80']);
    expect(textsOf(newer, other)).toEqual(['10.210.1.9:80', '10.210.1.3:80']);
  });

  test('leave out what is more than there should be, as in an update', () => {
    expect(texts(replicas(1, ['10.210.1.2', '10.210.1.3']))).toEqual(['10.210.1.2:80']);
  });

  test("change alone when replicas come and go: Caddy's configuration stays", () => {
    const before = replicas(3, ['10.210.1.2', '10.210.1.3', '10.210.1.4']);
    const after = replicas(3, ['10.210.1.3', '10.210.1.5']);
    expect(textOf(after)).toBe(textOf(before));
    expect(texts(after)).not.toEqual(texts(before));
  });

  test('are one for each machine when the service is global', () => {
    const view = aView({
      machines: [aMachine('a'), aMachine('b')],
      projects: [aProject('shop', { web: { 'x-ports': ['80/http'], deploy: { mode: 'global' } } })],
      containers: [aContainer({ project: 'shop', service: 'web', machine: 'a', ip: '10.210.1.2' })],
    });
    expect([...renderUpstreams(view, a).keys()]).toEqual(['shop.web.80.1', 'shop.web.80.2']);
  });

  test('are none for a service without replicas, and on a machine without ingress', () => {
    expect(texts(replicas(3, []))).toEqual([]);
    const machines = [aMachine('a', { hasIngress: false })];
    expect(texts({ ...replicas(1, ['10.210.1.2']), ...aView({ machines }) })).toEqual([]);
  });
});

test('https opens port 80 as well, for redirects and challenges', () => {
  expect(ingressPorts(viewOf(['a.example.com:80/https']))).toEqual([80, 443]);
  expect(ingressPorts(viewOf(['8080:80/http']))).toEqual([8080]);
  expect(ingressPorts(viewOf(['53:53/udp']))).toEqual([]);
});
