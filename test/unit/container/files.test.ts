import { expect, test } from 'vitest';
import { containerFiles } from '../../../src/render/container-files.ts';

const project = { name: 'shop', services: {} };
const contents = { 'secret/s': 'czE=', 'config/c': 'YzE=' };

test('secrets and configs have the places and modes that Compose promises', () => {
  const files = containerFiles(
    {
      secrets: [
        { source: 's' },
        { source: 's', target: 'short', mode: '0400', uid: '1', gid: '2' },
        { source: 's', target: '/else/where' },
      ],
      configs: [{ source: 'c' }, { source: 'c', target: 'etc/c' }, { source: 'c', target: '/c2' }],
    },
    project,
    contents,
  );
  const file = (name: string, target: string, content: string) => ({
    name,
    target,
    content,
    mode: 0o444,
    uid: 0,
    gid: 0,
  });
  expect(files).toEqual([
    file('secret-0', '/run/secrets/s', 'czE='),
    { ...file('secret-1', '/run/secrets/short', 'czE='), mode: 0o400, uid: 1, gid: 2 },
    file('secret-2', '/else/where', 'czE='),
    file('config-0', '/c', 'YzE='),
    file('config-1', '/etc/c', 'YzE='),
    file('config-2', '/c2', 'YzE='),
  ]);
});

test('the content of a config may stand in the project', () => {
  const inline = { ...project, configs: { c: { content: 'grün' } } };
  const [file] = containerFiles({ configs: [{ source: 'c' }] }, inline, {});
  expect(Buffer.from(file?.content ?? '', 'base64').toString()).toBe('grün');
});

test('what the client sent wins over what stands in the project', () => {
  const inline = { ...project, configs: { c: { content: 'old' } } };
  const [file] = containerFiles({ configs: [{ source: 'c' }] }, inline, contents);
  expect(file?.content).toBe('YzE=');
});

test('a secret without content is refused by name', () => {
  expect(() => containerFiles({ secrets: [{ source: 'gone' }] }, project, contents)).toThrow(
    'the content of secret "gone" is not known to the cluster',
  );
  expect(() => containerFiles({ configs: [{ source: 'gone' }] }, project, contents)).toThrow(
    'the content of config "gone" is not known to the cluster',
  );
});

test('an owner that is a name is refused, because it means nothing outside the container', () => {
  const secrets = [{ source: 's', uid: 'www-data' }];
  expect(() => containerFiles({ secrets }, project, contents)).toThrow('not "www-data"');
});
