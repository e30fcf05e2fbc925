import { expect, test } from 'vitest';
import {
  clash,
  extensionTargetsOf,
  hostnamesOf,
  hostPortsOf,
  openPortsOf,
  portText,
} from '../../../src/plan/published.ts';

const texts = (spec: Parameters<typeof openPortsOf>[0]): readonly string[] =>
  openPortsOf(spec).map((port) => `${port.mode} ${portText(port)}`);

test('ports are read with their ranges, modes, protocols and addresses', () => {
  const ports = [
    { target: 80, published: '8080' },
    { target: 53, published: '53', protocol: 'udp', host_ip: '0.0.0.0' },
    { target: 9000, published: '9000-9002', mode: 'host' },
    { target: 5432, published: '5432', host_ip: '127.0.0.1' },
    { target: 7000 },
    { target: 7001, published: '0' },
    { target: 7002, published: '70000' },
  ];
  expect(texts({ ports })).toEqual([
    'ingress 8080/tcp',
    'ingress 53/udp',
    'host 9000/tcp',
    'host 9001/tcp',
    'host 9002/tcp',
    'ingress 127.0.0.1:5432/tcp',
  ]);
  expect(hostPortsOf({ ports })).toHaveLength(3);
});

test.each<[string, readonly string[], readonly string[], readonly number[]]>([
  ['8000/http', [], [], [8000]],
  ['app.example.com:8000/https', [], ['app.example.com'], [8000]],
  ['App.Example.com:8000', [], ['app.example.com'], [8000]],
  ['app.example.com:443:8000/https', [], ['app.example.com'], [8000]],
  ['5432:5433/tcp', ['ingress 5432/tcp'], [], [5433]],
  ['53:5353/udp', ['ingress 53/udp'], [], []],
  ['9000/tcp', ['ingress 9000/tcp'], [], [9000]],
  ['8080:80/tcp@host', ['host 8080/tcp'], [], [80]],
  ['192.0.2.1:53:5353/udp@host', ['host 192.0.2.1:53/udp'], [], []],
  ['[::1]:8080:80@host', ['host [::1]:8080/tcp'], [], [80]],
  ['nonsense', [], [], []],
])('x-ports %s', (item, open, hostnames, targets) => {
  const spec = { 'x-ports': [item] };
  expect(texts(spec)).toEqual(open);
  expect(hostnamesOf(spec)).toEqual(hostnames);
  expect(extensionTargetsOf(spec)).toEqual(targets);
});

test('ports clash on the same number and protocol when the addresses can meet', () => {
  const port = { mode: 'ingress', protocol: 'tcp', port: 80, hostIp: '' } as const;
  expect(clash(port, { ...port, hostIp: '127.0.0.1' })).toBe(true);
  expect(clash({ ...port, hostIp: '192.0.2.1' }, { ...port, hostIp: '127.0.0.1' })).toBe(false);
  expect(clash(port, { ...port, protocol: 'udp' })).toBe(false);
  expect(clash(port, { ...port, port: 81 })).toBe(false);
});
