import { describe, expect, test } from 'vitest';
import { TscError } from '../../../src/lib/errors.ts';
import { parseXPort, parseXPorts, usableXPorts, type XPort } from '../../../src/render/x-ports.ts';

const http: XPort = {
  mode: 'ingress',
  protocol: 'http',
  hostname: undefined,
  hostIp: undefined,
  publishedPort: undefined,
  targetPort: 80,
};

describe('an x-ports entry', () => {
  const cases: readonly (readonly [string, Partial<XPort>])[] = [
    ['80', {}],
    ['80/http', {}],
    ['App.Example.com:80/http', { hostname: 'app.example.com' }],
    ['app.example.com:80', { protocol: 'https', hostname: 'app.example.com' }],
    [
      'app.example.com:8443:80/https',
      {
        protocol: 'https',
        hostname: 'app.example.com',
        publishedPort: 8443,
      },
    ],
    ['*.example.com:80/https', { protocol: 'https', hostname: '*.example.com' }],
    ['8080:80/http', { publishedPort: 8080 }],
    ['5432:80/tcp', { protocol: 'tcp', publishedPort: 5432 }],
    ['80/udp', { protocol: 'udp', publishedPort: 80 }],
    ['53:80/udp@host', { mode: 'host', protocol: 'udp', publishedPort: 53 }],
    ['53:80@host', { mode: 'host', protocol: 'tcp', publishedPort: 53 }],
    [
      '127.0.0.1:53:80/tcp@host',
      {
        mode: 'host',
        protocol: 'tcp',
        publishedPort: 53,
        hostIp: '127.0.0.1',
      },
    ],
    [
      '[::1]:53:80/tcp@host',
      {
        mode: 'host',
        protocol: 'tcp',
        publishedPort: 53,
        hostIp: '::1',
      },
    ],
  ];
  test.each(cases)('%s is understood', (text, expected) => {
    expect(parseXPort(text)).toEqual({ ...http, ...expected });
  });

  test.each([
    ['', 'one to three parts'],
    ['web', 'container port'],
    ['0', 'container port'],
    ['70000', 'container port'],
    ['80/sctp', 'not http, https, tcp or udp'],
    ['a:b:80', 'port before'],
    ['a:1:2:80', 'one to three parts'],
    ['80@nowhere', 'the mode'],
    ['80:80/http@host', '"@host" goes with tcp or udp'],
    ['80/tcp@host', 'needs a port'],
    ['app.example.com:80/tcp', 'a hostname goes with http or https only'],
    ['ho st:80/http', 'not a hostname'],
    ['80/https', 'https needs a hostname'],
  ])('"%s" is refused', (text, why) => {
    expect(() => parseXPort(text)).toThrow(TscError);
    expect(() => parseXPort(text)).toThrow(why);
  });
});

test('a number and a single text are lists of one, other values are refused', () => {
  expect(parseXPorts(80)).toEqual([http]);
  expect(parseXPorts('80/http')).toEqual([http]);
  expect(parseXPorts(undefined)).toEqual([]);
  expect(() => parseXPorts([{ port: 80 }])).toThrow('list of strings');
});

test('an entry that cannot be used does not hide the others', () => {
  expect(usableXPorts(['80/future', '80/http'])).toEqual([http]);
});
