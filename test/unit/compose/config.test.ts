import { hash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type ConfigOptions, configCommand } from '../../../src/cli/config.ts';
import { directory, MemoryReader } from './memory-project.ts';

const files = {
  'compose.yaml': `name: shop
services:
  web: {image: "web:\${TAG:-1}", environment: [A], command: echo $$x, profiles: [], x-own: {a: 1}, volumes: ["data:/d"]}
  api: {build: ., profiles: [p], cap_add: []}
volumes: {data: }
x-top: {list: [], n: 1}
`,
  '.env': 'A=1',
};

function config(
  options: ConfigOptions,
  texts: Readonly<Record<string, string>> = files,
): { out: string; err: string; exit: number } {
  let out = '';
  let err = '';
  const exit = configCommand(options, {
    cwd: directory,
    env: { HOME: '/home/me' },
    reader: new MemoryReader(texts),
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    sha256: (content) => hash('sha256', content),
    writeFile: (path, text) => {
      out += `${path}: ${text.length > 0}`;
    },
  });
  return { out, err, exit };
}

describe('config', () => {
  test('prints JSON in which dollars are doubled and extensions of services are hidden', () => {
    const { out, exit } = config({ format: 'json' });
    expect(exit).toBe(0);
    expect(JSON.parse(out)).toEqual({
      name: 'shop',
      services: {
        web: {
          command: ['echo', '$$x'],
          entrypoint: null,
          environment: { A: '1' },
          image: 'web:1',
          networks: { default: null },
          volumes: [{ type: 'volume', source: 'data', target: '/d', volume: {} }],
        },
      },
      networks: { default: { name: 'shop_default', ipam: {} } },
      volumes: { data: { name: 'shop_data' } },
      'x-top': { list: null, n: 1 },
    });
  });

  test('prints YAML by default, and writes it where asked', () => {
    expect(config({}).out).toMatch(/^name: shop\nservices:\n {2}web:\n/);
    expect(config({ output: 'o.yaml' }).out).toBe('o.yaml: true');
    expect(config({ quiet: true }).out).toBe('');
    expect(() => config({ format: 'toml' })).toThrow('unsupported format "toml"');
  });

  test('prints YAML that loads to the same project', () => {
    const odd = {
      'compose.yaml': `services:
  t:
    image: i
    environment: {A: "yes", B: "0440", C: "1_0", D: "2001-12-14", E: "~", F: "a\\nb", G: " x ", H: "$$y"}
    labels: {"1": "<<", on: "true"}
    blkio_config: {device_read_bps: [{path: /a, rate: 1k}]}
    ulimits: {nofile: 10}
    deploy: {replicas: 2}
    x-machines: [a]
`,
    };
    const first = config({}, odd).out;
    expect(first).toContain('x-machines');
    expect(first).not.toContain('command');
    const again = config({}, { 'compose.yaml': first }).out;
    expect(again).toBe(first);
    const asJson = (texts: Readonly<Record<string, string>>): unknown =>
      JSON.parse(config({ format: 'json' }, texts).out);
    expect(asJson({ 'compose.yaml': first })).toEqual(asJson(odd));
  });

  test('refuses numbers that JSON lacks', () => {
    const files = { 'compose.yaml': 'services: {t: {image: i}}\nx-a: .nan\n' };
    expect(() => config({ format: 'json' }, files)).toThrow('unsupported value');
    expect(config({}, files).out).toContain('x-a: .nan');
  });

  test('prints the raw model with its variables', () => {
    const { out } = config({ format: 'json', interpolate: false });
    expect(JSON.parse(out)).toMatchObject({
      services: { web: { image: 'web:${TAG:-1}', environment: ['A'], command: 'echo $$x' } },
    });
    expect(JSON.parse(out).services.api.cap_add).toEqual([]);
  });

  test.each<[ConfigOptions, string]>([
    [{ services: true }, 'web\n'],
    [{ services: true, interpolate: false }, 'web\napi\n'],
    [{ services: true, profiles: ['p'] }, 'web\napi\n'],
    [{ images: true, profiles: ['p'] }, 'web:1\nshop-api\n'],
    [{ volumes: true }, 'data\n'],
    [{ networks: true }, 'default\n'],
    [{ models: true }, ''],
    [{ profileNames: true }, 'p\n'],
  ])('%j', (options, text) => {
    expect(config(options).out).toBe(text);
  });

  test('hashes are those of Docker Compose 2.40.3', () => {
    const { out } = config({ hash: 'web' });
    expect(out).toMatch(/^web [0-9a-f]{64}\n$/);
    expect(() => config({ hash: 'nope' })).toThrow('no such service: nope');
  });

  test('lists variables and the environment', () => {
    const { out } = config({ variables: true, format: 'json' });
    expect(JSON.parse(out)).toEqual({
      TAG: { Name: 'TAG', DefaultValue: '1', PresenceValue: '', Required: false },
    });
    expect(config({ variables: true }).out).toContain('TAG\tfalse\t1\t\n');
    expect(config({ environment: true }).out).toBe(
      'A=1\nCOMPOSE_PROJECT_NAME=shop\nHOME=/home/me\nPWD=/home/me/shop\n',
    );
  });
});
