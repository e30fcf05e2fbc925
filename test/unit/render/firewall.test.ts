import { describe, expect, test } from 'vitest';
import type { View } from '../../../src/model/view.ts';
import { renderFirewall } from '../../../src/render/firewall.ts';
import { expectGolden } from './golden.ts';
import { aContainer, aMachine, aProject, aView, machineId, shopAndBlog } from './view-builder.ts';

const rules = (view: View, self = 'a'): string => renderFirewall(view, machineId(self)) ?? '';
const lineWith = (text: string, part: string): string =>
  text.split('\n').find((line) => line.includes(part)) ?? '';

describe('the ruleset', () => {
  test('of a machine with local replicas', () => {
    expectGolden('firewall-a.nft', rules(shopAndBlog()));
  });

  test('of a machine without replicas of the published services', () => {
    const view = shopAndBlog();
    const containers = view.containers.filter((container) => container.machine !== 'c');
    expectGolden('firewall-c.nft', rules({ ...view, containers }, 'c'));
  });

  test('of a machine alone, with nothing on it', () => {
    expectGolden('firewall-alone.nft', rules(aView({ machines: [aMachine('a')] })));
  });

  test('is nothing while this machine is not a member', () => {
    expect(renderFirewall(aView({ machines: [] }), machineId('a'))).toBeNull();
  });

  test('is the same for the same view, whatever the order of containers', () => {
    const view = shopAndBlog();
    expect(rules({ ...view, containers: view.containers.toReversed() })).toBe(rules(view));
  });
});

describe('the second resolver address', () => {
  test('leads to the next reachable machine in the ring', () => {
    const machines = [aMachine('a'), aMachine('b', { liveness: 'headless' }), aMachine('c')];
    expect(lineWith(rules(aView({ machines })), '169.254.210.53')).toContain(
      'dnat ip to 10.210.3.1',
    );
    expect(lineWith(rules(aView({ machines }), 'c'), '169.254.210.53')).toContain('to 10.210.1.1');
  });

  test('leads to this machine when no other is reachable', () => {
    const machines = [aMachine('a'), aMachine('b', { liveness: 'unreachable' })];
    expect(lineWith(rules(aView({ machines })), '169.254.210.53')).toContain('to 10.210.1.1');
  });
});

describe('machines that are silent', () => {
  const silent = (view: View, self = 'a'): string | undefined =>
    / set silent \{[^}]*elements = \{ ([^}]*) \}/.exec(rules(view, self))?.[1];
  const machines = [
    aMachine('a'),
    aMachine('b', { liveness: 'unreachable' }),
    aMachine('c', { liveness: 'lost' }),
    aMachine('d', { liveness: 'headless' }),
  ];

  test('refuse what this machine and its containers send to their containers', () => {
    const view = aView({ machines });
    expect(silent(view)).toBe('10.210.2.0/24, 10.210.3.0/24');
    expect(rules(view).match(/ip daddr @silent jump refuse/g)).toHaveLength(2);
    expect(rules(view)).toContain('meta l4proto tcp reject with tcp reset');
  });

  test('are none while all are heard, and a machine is never silent to itself', () => {
    expect(silent(aView({ machines: [aMachine('a'), aMachine('d')] }))).toBeUndefined();
    expect(silent({ ...aView({ machines }), self: machineId('b') }, 'b')).toBe('10.210.3.0/24');
  });

  test('are not told from those that an agent has not heard yet after its start', () => {
    const view = aView({ machines });
    expect(silent({ ...view, guards: ['booting'] })).toBeUndefined();
    expect(silent({ ...view, guards: ['stale'] })).toBeUndefined();
    expect(silent({ ...view, guards: ['isolated'] })).toBe('10.210.2.0/24, 10.210.3.0/24');
  });
});

describe('membership', () => {
  const project = aProject('shop', { web: {} });
  const place = { project: 'shop', service: 'web', machine: 'a', ip: '10.210.1.2' };

  test('leaves out containers that have no address any more', () => {
    const view = aView({
      projects: [project],
      containers: [aContainer(place, { state: 'exited' })],
    });
    expect(rules(view)).not.toContain('10.210.1.2');
  });

  test('gives an address that two records claim to the one that started later', () => {
    const other = aProject('blog', { web: {} });
    const view = aView({
      projects: [other, project],
      containers: [
        aContainer({ ...place, project: 'blog' }, { startedMs: 10 }),
        aContainer(place, { startedMs: 20 }),
      ],
    });
    expect(rules(view)).toContain('10.210.1.2 : goto to_shop_default');
    expect(rules(view)).not.toContain('goto to_blog_default');
  });

  test('is shared by projects that name the same external network', () => {
    const shared = { default: { name: 'proxy', external: true } };
    const view = aView({
      projects: [aProject('blog', { web: {} }, shared), aProject('shop', { web: {} }, shared)],
      containers: [
        aContainer({ ...place, project: 'blog', ip: '10.210.1.3' }),
        aContainer({ ...place, machine: 'b', ip: '10.210.2.3' }),
      ],
    });
    expect(lineWith(rules(view), 'elements = { 10.210.1.3')).toContain('10.210.1.3, 10.210.2.3');
  });

  test('gives networks with names that nft does not take a name of their own', () => {
    const odd = { default: { name: 'my net/über' } };
    const view = aView({
      projects: [aProject('shop', { web: {} }, odd)],
      containers: [aContainer(place)],
    });
    expect(rules(view)).toMatch(/set net_[0-9a-f]{16} \{/);
    expect(rules(view)).not.toContain('über');
  });

  test('closes the way out for containers that are on internal networks only', () => {
    const [, after = ''] = rules(shopAndBlog()).split('set no_way_out {');
    expect(after.split('\n')[2]?.trim()).toBe('elements = { 10.210.1.5 }');
  });
});

describe('published ports', () => {
  const ports = [{ mode: 'ingress', target: 80, published: '8080', protocol: 'tcp' }];
  const place = { project: 'shop', service: 'web', ip: '' };
  const on = (machine: string, number: number, slot: string) =>
    aContainer({ ...place, machine, ip: `10.210.${number}.2`, slot });
  const published = (view: View): string => lineWith(rules(view), 'comment "shop/web"').trim();

  test('lead to local replicas when there are any', () => {
    const view = aView({
      projects: [aProject('shop', { web: { ports } })],
      containers: [on('a', 1, '1'), on('b', 2, '2')],
    });
    expect(published(view)).toBe(
      'meta nfproto ipv4 tcp dport 8080 dnat ip to 10.210.1.2 : 80 comment "shop/web"',
    );
  });

  test('are spread over the remote replicas otherwise', () => {
    const view = aView({
      projects: [aProject('shop', { web: { ports } })],
      containers: [on('b', 2, '1'), on('c', 3, '2')],
    });
    expect(published(view)).toContain(
      'dnat ip to numgen random mod 2 map { 0 : 10.210.2.2, 1 : 10.210.3.2 } : 80',
    );
  });

  test('pass over a local replica that is not ready when another is', () => {
    const view = aView({
      projects: [aProject('shop', { web: { ports } })],
      containers: [{ ...on('a', 1, '1'), ready: false }, on('b', 2, '2')],
    });
    expect(published(view)).toContain('dnat ip to 10.210.2.2 : 80');
  });

  test('are closed on machines that do not publish', () => {
    const view = aView({
      machines: [aMachine('a', { publishes: false })],
      projects: [aProject('shop', { web: { ports } })],
      containers: [on('a', 1, '1')],
    });
    expect(published(view)).toBe('');
  });

  test('of mode host are left to the engine, those of x-ports are open where the replica is', () => {
    const spec = {
      ports: [{ mode: 'host', target: 80, published: '9000', protocol: 'tcp' }],
      'x-ports': ['9001:80@host'],
    };
    const project = aProject('shop', { web: spec });
    const view = aView({ projects: [project], containers: [on('a', 1, '1')] });
    expect(rules(view)).not.toContain('dport 9000');
    expect(published(view)).toContain('tcp dport 9001 dnat ip to 10.210.1.2 : 80');
    expect(rules(view, 'b')).not.toContain('dport 9001');
  });

  test('of one address come before those of all, and IPv6 addresses are not redirected', () => {
    const spec = {
      ports: [
        ...ports,
        { target: 81, published: '8080', protocol: 'tcp', host_ip: '127.0.0.1' },
        { target: 82, published: '8080', protocol: 'tcp', host_ip: '::1' },
      ],
    };
    const view = aView({
      projects: [aProject('shop', { web: spec })],
      containers: [on('a', 1, '1')],
    });
    const lines = rules(view)
      .split('\n')
      .filter((line) => line.includes('comment "shop/web"'));
    expect(lines.map((line) => line.trim().split(' dnat')[0])).toEqual([
      'meta nfproto ipv4 ip daddr 127.0.0.1 tcp dport 8080',
      'meta nfproto ipv4 tcp dport 8080',
    ]);
  });

  test('that two services claim belong to the first by name', () => {
    const view = aView({
      projects: [aProject('blog', { web: { ports } }), aProject('shop', { web: { ports } })],
      containers: [
        aContainer({ project: 'blog', service: 'web', machine: 'a', ip: '10.210.1.3' }),
        on('a', 1, '1'),
      ],
    });
    expect(rules(view)).toContain('dnat ip to 10.210.1.3 : 80 comment "blog/web"');
    expect(published(view)).toBe('');
  });
});

test('containers reach the ingress on its ports only where the machine has one', () => {
  const project = aProject('shop', { web: { 'x-ports': ['80/http'] } });
  const open = 'tcp dport { 80 } accept';
  expect(rules(aView({ projects: [project] }))).toContain(open);
  const machines = [aMachine('a', { hasIngress: false })];
  expect(rules(aView({ machines, projects: [project] }))).not.toContain(open);
});
