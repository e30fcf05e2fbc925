import { describe, expect, test } from 'vitest';
import { loadProject } from '../../../src/compose/index.ts';
import { directory, faultOf, load, MemoryReader } from './memory-project.ts';

const image = (name: string): string => `services: {t: {image: ${name}}}`;

describe('which files are loaded', () => {
  test('the first default name wins with a warning, and its override follows', () => {
    const { composeFiles, warnings, project } = load({
      'compose.yaml': image('a'),
      'docker-compose.yml': image('b'),
      'compose.override.yml': 'services: {t: {user: u}}',
    });
    expect(composeFiles).toEqual([
      `${directory}/compose.yaml`,
      `${directory}/compose.override.yml`,
    ]);
    expect(warnings).toEqual([
      `Found multiple config files with supported names: ${directory}/compose.yaml, ${directory}/docker-compose.yml`,
      `Using ${directory}/compose.yaml`,
    ]);
    expect(project.services.t).toMatchObject({ image: 'a', user: 'u' });
  });

  test('parent directories are searched, and become the working directory', () => {
    const { workingDir, project } = load(
      { 'compose.yml': image('a'), '.env': 'X=1', 'sub/deep/.env': 'X=2' },
      { cwd: `${directory}/sub/deep` },
    );
    expect(workingDir).toBe(directory);
    expect(project.name).toBe('shop');
  });

  test('COMPOSE_FILE may come from .env and names several files', () => {
    const { composeFiles } = load({
      '.env': 'COMPOSE_FILE=a.yaml;b.yaml\nCOMPOSE_PATH_SEPARATOR=;',
      'a.yaml': image('a'),
      'b.yaml': image('b'),
    });
    expect(composeFiles).toEqual([`${directory}/a.yaml`, `${directory}/b.yaml`]);
  });

  test.each<[object, object]>([
    [{}, {}],
    [{ 'compose.yaml': image('a') }, { files: ['nope.yaml'] }],
    [{ 'compose.yaml/x': '' }, { files: ['compose.yaml'] }],
    [{ 'compose.yaml': image('a') }, { environment: { COMPOSE_FILE: 'nope.yaml' } }],
    [{ 'compose.yaml': image('a') }, { envFiles: ['nope.env'] }],
    [{ 'compose.yaml': image('a'), 'd/x': '' }, { envFiles: ['d'] }],
    [{}, { files: ['-'] }],
  ])('%j with %j is a missing file', (files, options) => {
    expect(faultOf(() => load({ ...files }, options)).code).toBe('E_COMPOSE_FILE_MISSING');
  });

  test('an empty file is no project, and a list is none either', () => {
    expect(faultOf(() => load('# nothing\n')).message).toContain('empty compose file');
    expect(faultOf(() => load('[a]\n')).message).toContain('must be a mapping');
  });
});

describe('variables of the project', () => {
  const text = 'services: {t: {image: "i:$A-$B-$C"}}';

  test('the environment wins over env files, a later env file over an earlier one', () => {
    const { project } = load(
      { 'compose.yaml': text, '1.env': 'A=1\nB=1\nC=1', '2.env': 'B=2\nC=${A}2' },
      { envFiles: ['1.env', '2.env'], environment: { A: 'env' } },
    );
    expect(project.services.t?.image).toBe('i:env-2-env2');
  });

  test('.env is read unless that is switched off', () => {
    const files = { 'compose.yaml': text, '.env': 'A=a\nB=b\nC=c' };
    expect(load(files).project.services.t?.image).toBe('i:a-b-c');
    const off = load(files, { environment: { COMPOSE_DISABLE_ENV_FILE: '1' } });
    expect(off.project.services.t?.image).toBe('i:--');
    expect(() => load(files, { environment: { COMPOSE_DISABLE_ENV_FILE: 'x' } })).toThrow(
      'invalid syntax',
    );
  });

  test('the project name is a variable', () => {
    const { project } = load('name: n\nservices: {t: {image: "$COMPOSE_PROJECT_NAME"}}');
    expect(project.services.t?.image).toBe('n');
  });
});

describe('the name of a project', () => {
  test.each<[string, object, string]>([
    ['', {}, 'shop'],
    ['name: My.Project\n', {}, 'myproject'],
    ['name: ${N:-x}\n', {}, 'x'],
    ['name: a\n', { environment: { COMPOSE_PROJECT_NAME: 'b' } }, 'b'],
    ['name: a\n', { environment: { COMPOSE_PROJECT_NAME: 'b' }, projectName: 'c' }, 'c'],
    ['name: a\n', { projectName: '' }, 'a'],
    ['', { projectDirectory: '/srv/_Other-1' }, 'other-1'],
  ])('%j with %j', (head, options, name) => {
    expect(load(`${head}${image('i')}`, { files: ['compose.yaml'], ...options }).project.name).toBe(
      name,
    );
  });

  test.each<[string, object]>([
    ['', { projectName: 'Upper' }],
    ['', { environment: { COMPOSE_PROJECT_NAME: '-a' } }],
    ['name: "***"\n', {}],
    ['name: [a]\n', {}],
  ])('%j with %j is refused', (head, options) => {
    faultOf(() => load(`${head}${image('i')}`, options));
  });

  test('resources are named after it', () => {
    const { project } = load(
      'services: {t: {image: i, volumes: ["data:/d", "far:/f"]}}\nvolumes: {data: , far: {external: true}}',
    );
    expect(project.volumes).toEqual({
      data: { name: 'shop_data' },
      far: { name: 'far', external: true },
    });
  });
});

describe('env files of services', () => {
  const env = (text: string, lines = 'env_file: a.env', options: object = {}): unknown =>
    load(
      { 'compose.yaml': `services:\n  t:\n    image: i\n    ${lines}\n`, 'a.env': text },
      options,
    ).project.services.t?.environment;

  test.each<[string, object | undefined]>([
    ['A=1', { A: '1' }],
    ['\ufeffexport A=1 # note\nB = 2\n', { A: '1', B: '2' }],
    ['A: x\nB=a#b\n', { A: 'x', B: 'a#b' }],
    [`A='$B \\' x'\nB="a\\tb\\n\\\\"`, { A: "$B ' x", B: 'a\tb\n\\' }],
    ['A="\\0101\\8"', { A: 'A\\8' }],
    ['A="two\nlines"', { A: 'two\nlines' }],
    ['A=1\nB=$A${C:-c}$$', { A: '1', B: '1c$' }],
    ['A="\\$x"', { A: '$x' }],
    ['# only\n\n', undefined],
    ['KEY', { '': 'KEY' }],
    ['HOME\nNOPE\n', { HOME: '/home/me' }],
  ])('%j', (text, expected) => {
    expect(env(text)).toEqual(expected);
  });

  test.each(['A B=1', 'A!=1', 'A="open', "A='open", 'A=${', 'A=${X:?no}', 'a b\n'])(
    '%j is refused',
    (text) => {
      faultOf(() => env(text));
    },
  );

  test('the raw format takes lines as they are', () => {
    const raw = 'env_file: [{path: a.env, format: raw}]';
    expect(env(' A="x" # y\n#c\nB=$A\nHOME\nNOPE', raw)).toEqual({
      A: '"x" # y',
      B: '$A',
      HOME: '/home/me',
    });
    expect(() => env('A B=1', raw)).toThrow('contains whitespaces');
    expect(() => env('=1', raw)).toThrow('no variable name');
    expect(() => env('A=1', 'env_file: [{path: a.env, format: toml}]')).toThrow('unsupported');
  });

  test('what the service says wins, and a file may be optional', () => {
    expect(env('A=1\nB=$A', 'environment: {A: 2}\n    env_file: [a.env]')).toEqual({
      A: '2',
      B: '2',
    });
    expect(env('', 'env_file: [{path: no.env, required: false}]')).toBeUndefined();
    expect(faultOf(() => env('', 'env_file: no.env')).code).toBe('E_COMPOSE_FILE_MISSING');
  });

  test('files of services that are not selected are read by config only', () => {
    const text = 'services: {a: {image: i}, b: {image: i, env_file: no.env}}';
    expect(Object.keys(load(text, { services: ['a'] }).project.services)).toEqual(['a']);
    faultOf(() => load(text, { services: ['a'], readsAllEnvFiles: true }));
    expect(load(text, { skipEnvResolution: true }).project.services.b?.env_file).toHaveLength(1);
  });

  test('label files fill in labels', () => {
    const { project } = load({
      'compose.yaml': 'services: {t: {image: i, label_file: [l], labels: {a: own}}}',
      l: 'a=1\nb=2\n',
    });
    expect(project.services.t?.labels).toEqual({ a: 'own', b: '2' });
    expect(project.services.t?.label_file).toBeUndefined();
  });
});

describe('extends', () => {
  test('a service starts from one of another file, whose paths are relative to that file', () => {
    const { project } = load({
      'compose.yaml':
        'services: {web: {extends: {file: base/b.yaml, service: t}, environment: [B=2]}}',
      'base/b.yaml':
        'services: {t: {image: i, environment: {A: 1}, env_file: x.env, volumes: ["./d:/d"], extends: u}, u: {user: u, command: c}}',
      'base/x.env': 'X=1',
    });
    expect(project.services.web).toMatchObject({
      image: 'i',
      user: 'u',
      command: ['c'],
      environment: { A: '1', B: '2', X: '1' },
      volumes: [{ source: '/home/me/shop/base/d' }],
    });
    expect(project.services.web?.extends).toBeUndefined();
  });

  test('what is reset does not come from the base', () => {
    const { project } = load(
      'services: {a: {image: i, user: u, labels: {x: 1}}, b: {extends: a, user: !reset null, labels: !override {y: 1}}}',
    );
    expect(project.services.b).toMatchObject({ image: 'i', labels: { y: '1' } });
    expect(project.services.b?.user).toBeUndefined();
  });

  test.each<[string, string]>([
    ['services: {a: {extends: b}}', 'E_COMPOSE_CONSISTENCY'],
    ['services: {a: {extends: a, image: i}}', 'E_COMPOSE_CYCLE'],
    ['services: {a: {extends: b}, b: {extends: a}}', 'E_COMPOSE_CYCLE'],
    ['services: {a: {extends: {file: no.yaml, service: x}}}', 'E_COMPOSE_FILE_MISSING'],
    ['services: {a: {extends: {file: c.yaml, service: x}}}', 'E_COMPOSE_CONSISTENCY'],
    ['services: {a: {extends: {file: d.yaml, service: x}}}', 'E_COMPOSE_CONSISTENCY'],
    ['services: {a: {extends: {file: e.yaml, service: x}}}', 'E_COMPOSE_CONSISTENCY'],
    ['services: {a: {extends: {file: "https://x/y.git", service: x}}}', 'E_COMPOSE_FILE_MISSING'],
    ['services: {a: {extends: {file: 1, service: x}}}', 'E_COMPOSE_PARSE'],
    ['services: {a: {extends: {}}}', 'E_COMPOSE_CONSISTENCY'],
    ['services: [a]', 'E_COMPOSE_SYNTAX'],
    ['services: {a: x}', 'E_COMPOSE_SYNTAX'],
  ])('%s ends in %s', (text, code) => {
    const files = {
      'compose.yaml': text,
      'c.yaml': 'services: {y: {image: i}}',
      'd.yaml': 'volumes: {}',
      'e.yaml': 'services: [x]',
    };
    expect(faultOf(() => load(files)).code).toBe(code);
  });
});

describe('a missing file', () => {
  test.each<[string, number]>([
    ['services:\n  t:\n    image: i\n    env_file: no.env\n', 4],
    ['services:\n  t:\n    image: i\n    label_file: no.env\n', 4],
    ['services:\n  t:\n    extends:\n      service: x\n      file: no.yaml\n', 5],
    ['services: {}\ninclude:\n  - no.yaml\n', 3],
  ])('is reported where %j names it', (text, line) => {
    const fault = faultOf(() => load(text));
    expect(fault.code).toBe('E_COMPOSE_FILE_MISSING');
    expect(fault.where).toMatchObject({ file: `${directory}/compose.yaml`, line });
  });
});

describe('include', () => {
  test('an included project has its own directory, variables and overrides', () => {
    const { project } = load({
      'compose.yaml':
        'include: [{path: [db/compose.yaml, db/more.yaml]}, {path: q.yaml, project_directory: p, env_file: q.env}]\nservices: {web: {image: i, depends_on: [db]}}',
      'db/compose.yaml': 'services: {db: {image: "i:$TAG", volumes: ["./d:/d"]}}',
      'db/more.yaml': 'services: {db: {user: u}}',
      'db/.env': 'TAG=db',
      'q.yaml': 'services: {q: {image: "i:$TAG", volumes: ["./d:/d"]}}',
      'q.env': 'TAG=q',
      'p/exists': '',
    });
    expect(project.services.db).toMatchObject({
      image: 'i:db',
      user: 'u',
      volumes: [{ source: '/home/me/shop/db/d' }],
    });
    expect(project.services.q).toMatchObject({
      image: 'i:q',
      volumes: [{ source: '/home/me/shop/p/d' }],
    });
  });

  test.each<[string, string]>([
    ['include: a.yaml', 'E_COMPOSE_SYNTAX'],
    ['include: [no.yaml]', 'E_COMPOSE_FILE_MISSING'],
    ['include: ["oci://x"]', 'E_COMPOSE_FILE_MISSING'],
    ['include: [compose.yaml]', 'E_COMPOSE_CYCLE'],
    ['include: [loop.yaml]', 'E_COMPOSE_CYCLE'],
    ['include: [{path: a.yaml, env_file: no.env}]', 'E_COMPOSE_FILE_MISSING'],
    ['include: [{path: a.yaml, env_file: d}]', 'E_COMPOSE_FILE_MISSING'],
    ['include: [{path: {}}]', 'E_COMPOSE_PARSE'],
    ['include: [{path: [1]}]', 'E_COMPOSE_PARSE'],
    ['include: [1]', 'E_COMPOSE_PARSE'],
    ['include: [a.yaml]\nservices: {a: {image: other}}', 'E_COMPOSE_CONSISTENCY'],
    ['include: [a.yaml]\nservices: []', 'E_COMPOSE_SYNTAX'],
  ])('%s ends in %s', (text, code) => {
    const files = {
      'compose.yaml': text,
      'a.yaml': 'services: {a: {image: i}}',
      'loop.yaml': 'include: [compose.yaml]',
      'd/x': '',
    };
    expect(faultOf(() => load(files)).code).toBe(code);
  });

  test('the same resource on both sides is no conflict', () => {
    const { project } = load({
      'compose.yaml': 'include: [a.yaml]\nservices: {a: {image: i}}',
      'a.yaml': 'services: {a: {image: i}}',
    });
    expect(Object.keys(project.services)).toEqual(['a']);
  });
});

test.each([
  [false, ['sub/p', 'sub/p', '/elsewhere', 'up']],
  [true, [`${directory}/sub/p`, `${directory}/sub/p`, '/elsewhere', `${directory}/up`]],
])(
  'links of watched paths are followed, and relative paths (resolved: %s) stay so',
  (isResolved, expected) => {
    class LinkReader extends MemoryReader {
      realPath(path: string): string | undefined {
        if (path === `${directory}/sub/away`) return '/elsewhere';
        return path.replace('/sub/link', '/sub/p');
      }
    }
    const watch = ['p', 'link', 'away', '../up'].map((path) => `{path: ${path}, action: restart}`);
    const { project } = loadProject(
      { cwd: directory, environment: {}, skipPathResolution: !isResolved },
      new LinkReader({
        'compose.yaml': 'services: {t: {image: i, extends: {file: sub/base.yaml, service: b}}}',
        'sub/base.yaml': `services: {b: {develop: {watch: [${watch.join(', ')}]}}}`,
      }),
    );
    expect(project.services.t?.['develop']).toMatchObject({
      watch: expected.map((path) => ({ path })),
    });
  },
);
