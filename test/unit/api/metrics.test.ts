import { expect, test } from 'vitest';
import { formatMetrics } from '../../../agent/metrics.ts';
import { aGossipStatus, m2 } from './fakes.ts';

const given = {
  version: '0.1.0',
  nameOf: (machine: string) => (machine === m2 ? 'a "b"\\\n' : 'm1'),
  residentBytes: 80_000_000,
  cpuSeconds: 1.5,
};

test('every sample stands below its help and type, and names are escaped', () => {
  const text = formatMetrics({ ...given, gossip: aGossipStatus({ guards: ['stale'] }) });
  expect(text.endsWith('\n')).toBe(true);
  let current = '';
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE (\w+) (gauge|counter)$/.exec(line);
    if (type?.[1] !== undefined) {
      current = type[1];
      continue;
    }
    if (line.startsWith('# HELP ')) continue;
    const labels = /(?:\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\})?/.source;
    expect(line).toMatch(new RegExp(`^${current}${labels} -?[0-9.e+-]+$`));
  }
  const peer = `peer="${m2}",name="a \\"b\\"\\\\\\n"`;
  expect(text).toContain(`tsc_compose_link_round_trip_seconds{${peer}} 0.00125\n`);
  expect(text).toContain('tsc_compose_links 1\n');
  expect(text).toContain('tsc_compose_links_equal 1\n');
  expect(text).toContain('tsc_compose_links_lost_total 3\n');
  expect(text).toContain('tsc_compose_guard{guard="stale"} 1\n');
});

test('a link that was not asked yet has no round-trip time, and outside of a cluster there is none', () => {
  const status = aGossipStatus();
  const links = status.links.map((link) => ({ ...link, roundTripMs: null }));
  const text = formatMetrics({ ...given, gossip: { ...status, links } });
  expect(text).not.toContain('round_trip_seconds{');
  expect(text).toContain('tsc_compose_link_equal{');
  const alone = formatMetrics({ ...given, gossip: null });
  expect(alone).toContain('tsc_compose_resident_bytes 80000000\n');
  expect(alone).not.toContain('links');
});
