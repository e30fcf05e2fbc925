import { describe, expect, test } from 'vitest';
import { editDistance } from '../../../src/compose/validate.ts';
import { formatError } from '../../../src/lib/errors.ts';
import { faultOf, load, service } from './memory-project.ts';

describe('what the schema refuses', () => {
  test('an unknown key is shown where it stands, with the key that was meant', () => {
    const fault = faultOf(() => service('deploy:\n  replica: 3'));
    expect(fault.code).toBe('E_COMPOSE_UNKNOWN_KEY');
    expect(formatError(fault)).toBe(
      [
        '/home/me/shop/compose.yaml:5:7: unknown key "replica" in services.t.deploy',
        '    5 |       replica: 3',
        '      |       ^^^^^^^ did you mean "replicas"?',
      ].join('\n'),
    );
  });

  test('a key that is like no other gets no suggestion', () => {
    expect(faultOf(() => service('frobnicate: 1')).hint).toBeUndefined();
    expect(faultOf(() => load('servces: {}')).hint).toBe('did you mean "services"?');
  });

  test.each([
    ['user: 5', 'services.t.user must be a string'],
    ['ports: x', 'services.t.ports must be a list'],
    ['deploy: [x]', 'services.t.deploy must be a mapping or null'],
    ['tty: 5', 'services.t.tty must be a boolean or string'],
    ['cgroup: x', "services.t.cgroup value must be one of 'host', 'private'"],
    [
      'cap_add: [A, A, B]\nlinks: [a, a=b]\ngroup_add: [x, x]',
      'services.t.group_add items at 0 and 1 are equal',
    ],
    ['oom_score_adj: 5000', 'services.t.oom_score_adj must be less than or equal to 1000'],
    ['cpu_count: -1', 'services.t.cpu_count must be greater than or equal to 0'],
    ['provider: {}', "services.t.provider missing property 'type'"],
    ['pull_policy: x', 'services.t.pull_policy does not match pattern'],
    [
      'volumes: [{type: bind, target: /x, soruce: /y}]',
      'unknown key "soruce" in services.t.volumes[0]',
    ],
    ['ports: [[80]]', 'services.t.ports[0] must be a mapping, number or string'],
    ['command: 5', 'services.t.command must be a list, null or string'],
    ['mem_swappiness: .inf', 'services.t.mem_swappiness must be an integer or string'],
  ])('%s', (lines, message) => {
    expect(faultOf(() => service(lines)).message).toContain(message);
  });

  test('the later file is blamed for what it brings', () => {
    const files = {
      'a.yaml': 'services: {t: {image: i, user: u}}',
      'b.yaml': 'services:\n  t:\n    user: [x]\n',
    };
    const fault = faultOf(() => load(files, { files: ['a.yaml', 'b.yaml'] }));
    expect(fault.where).toMatchObject({ file: '/home/me/shop/b.yaml', line: 3, column: 5 });
  });

  test('the old version attribute is dropped with a warning', () => {
    const { warnings, project } = load('version: "3"\nservices: {t: {image: i}}');
    expect(warnings[0]).toContain('the attribute `version` is obsolete');
    expect('version' in project).toBe(false);
  });

  test('the distance of two words counts letters to change', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'ab')).toBe(2);
    expect(editDistance('same', 'same')).toBe(0);
  });
});

describe('what does not fit together', () => {
  test.each<[string, string]>([
    ['services: {t: {}}', 'neither an image nor a build'],
    ['services: {t: {build: {dockerfile: a, dockerfile_inline: b}}}', 'exclusive dockerfile'],
    ['services: {t: {build: {additional_contexts: {x: "service:y"}}}}', 'unknown service "y"'],
    [
      'services: {y: {image: i}, t: {build: {additional_contexts: {x: "service:y"}}}}',
      'non-buildable',
    ],
    ['services: {t: {build: {platforms: [a]}, platform: b}}', 'MUST include service.platform'],
    [
      'services: {t: {image: i, network_mode: host, networks: [n]}}\nnetworks: {n: }',
      'mutually exclusive',
    ],
    ['services: {t: {image: i, networks: [n]}}', 'undefined network n'],
    ['services: {t: {image: i, volumes: ["vol:/x"]}}', 'undefined volume vol'],
    ['services: {t: {build: {secrets: [s]}}}', 'undefined build secret s'],
    ['services: {t: {image: i, secrets: [s]}}', 'undefined secret s'],
    ['services: {t: {image: i, configs: [c]}}', 'undefined config c'],
    ['services: {t: {image: i, models: [m]}}', 'undefined model m'],
    ['services: {t: {image: i, healthcheck: {test: [x]}}}', 'must start either by'],
    ['services: {t: {image: i, depends_on: [u]}}', 'depends on undefined service "u"'],
    [
      'services: {t: {image: i, depends_on: [u]}, u: {image: i, profiles: [p]}}',
      'depends on undefined',
    ],
    ['services: {t: {image: i, network_mode: "service:u"}}', 'undefined service "u"'],
    ['services: {t: {image: i, scale: 2, deploy: {replicas: 3}}}', "can't set distinct values"],
    ['services: {t: {image: i, scale: -1}}', 'greater than or equal to 0'],
    ['services: {t: {image: i, deploy: {replicas: -1}}}', 'greater than or equal to 0'],
    [
      'services: {t: {image: i, scale: 2, container_name: c1}}',
      "can't set container_name and scale",
    ],
    ['services: {t: {image: i, deploy: {replicas: 2}, container_name: c1}}', 'and deploy.replicas'],
    ['services: {t: {image: i, cpus: 1, deploy: {resources: {limits: {cpus: 2}}}}}', 'limits.cpus'],
    [
      'services: {t: {image: i, mem_limit: 1, deploy: {resources: {limits: {memory: 2k}}}}}',
      'limits.memory',
    ],
    [
      'services: {t: {image: i, pids_limit: 1, deploy: {resources: {limits: {pids: 2}}}}}',
      'limits.pids',
    ],
    [
      'services: {t: {image: i, mem_reservation: 1, deploy: {resources: {reservations: {memory: 2k}}}}}',
      'reservations.memory',
    ],
    [
      'services: {t: {build: ., develop: {watch: [{path: a, action: sync}]}}}',
      'target is required',
    ],
    [
      'services: {t: {build: ., develop: {watch: [{path: "", action: rebuild}]}}}',
      "can't be blank",
    ],
    ['services: {t: {image: i, gpus: [{count: 1, device_ids: [a]}]}}', 'attributes are exclusive'],
    ['services: {t: {image: i}}\nsecrets: {s: {driver: x}}', 'must declare either'],
    ['services: {t: {image: i}}\nsecrets: {s: {}}', 'one of file|environment must be set'],
    ['services: {t: {image: i}}\nconfigs: {c: {file: a, content: b}}', 'mutually exclusive'],
    [
      'services: {t: {image: i}}\nvolumes: {v: {external: true, driver: x}}',
      'conflicting parameters',
    ],
    [
      'services: {a: {image: i, container_name: c1}, b: {image: i, container_name: c1}}',
      'already in use',
    ],
    [
      'services: {a: {image: i, depends_on: [b]}, b: {image: i, links: [c]}, c: {image: i, depends_on: [a]}}',
      'dependency cycle detected: a -> b -> c -> a',
    ],
  ])('%s', (text, message) => {
    expect(faultOf(() => load(text)).message).toContain(message);
  });

  test('what agrees, or is optional, is no fault', () => {
    load(
      'services: {t: {image: i, scale: 2, deploy: {replicas: 2, resources: {limits: {cpus: "1.5"}}}, cpus: 1.5}}',
    );
    load(
      'services: {t: {image: i, depends_on: {u: {condition: service_started, required: false}}}, u: {image: i, profiles: [p]}}',
    );
    load('services: {t: {image: i, network_mode: host}}');
  });

  test('a fault names the line of the key that refers', () => {
    const fault = faultOf(() => load('services:\n  t:\n    image: i\n    networks:\n      - n\n'));
    expect(fault.where).toMatchObject({ line: 4, column: 5 });
  });

  test('the check can be left out', () => {
    const { project } = load('services: {t: {}}', { skipConsistency: true });
    expect(project.services.t).toEqual({
      command: null,
      entrypoint: null,
      networks: { default: null },
    });
  });
});

describe('what is implied', () => {
  test('links and shared namespaces are dependencies', () => {
    const { project } = load(
      'services: {a: {image: i, links: ["b:x"], ipc: "service:c", volumes_from: ["d:ro", "container:e"]}, b: {image: i}, c: {image: i}, d: {image: i}}',
    );
    const implied = { condition: 'service_started', restart: true, required: true };
    expect(project.services.a?.depends_on).toEqual({
      b: implied,
      c: implied,
      d: { condition: 'service_started', required: true },
    });
  });

  test('scale and replicas are the same number where there is a deploy section', () => {
    expect(service('scale: 2\ndeploy: {mode: replicated}')).toMatchObject({
      scale: 2,
      deploy: { replicas: 2 },
    });
  });

  test('without normalisation nothing is implied', () => {
    const { project } = load('name: a\nservices: {t: {image: i}}', { skipNormalisation: true });
    expect(project.services.t?.networks).toBeUndefined();
  });
});

describe('profiles and selected services', () => {
  const text =
    'services: {a: {image: i, depends_on: [b]}, b: {image: i}, c: {image: i, profiles: [p]}, d: {image: i, profiles: [p, q]}}';
  const names = (options: object): string[] => Object.keys(load(text, options).project.services);

  test.each<[object, string[]]>([
    [{}, ['a', 'b']],
    [{ profiles: ['p'] }, ['a', 'b', 'c', 'd']],
    [{ profiles: ['q'] }, ['a', 'b', 'd']],
    [{ profiles: ['*'] }, ['a', 'b', 'c', 'd']],
    [{ environment: { COMPOSE_PROFILES: 'x, q' } }, ['a', 'b', 'd']],
    [{ services: ['b'] }, ['b']],
    [{ services: ['a'] }, ['a', 'b']],
    [{ services: ['c'] }, ['c']],
    [{ services: ['?'] }, ['a', 'b']],
  ])('%j enables %j', (options, expected) => {
    expect(names(options)).toEqual(expected);
  });

  test('an unknown service is refused, a disabled one is kept aside', () => {
    expect(faultOf(() => load(text, { services: ['x'] })).message).toBe('no such service: x');
    expect(Object.keys(load(text).disabledServices)).toEqual(['c', 'd']);
  });

  test('resources that no enabled service uses are left out unless asked for', () => {
    const unused = 'services: {a: {image: i}}\nvolumes: {v: }\nsecrets: {s: {file: f}}';
    expect(load(unused).project.volumes).toBeUndefined();
    expect(load(unused, { keepsUnused: true }).project.volumes).toEqual({ v: { name: 'shop_v' } });
  });
});

describe('several faults at once', () => {
  test('of the schema are reported together, each where it stands', () => {
    const fault = faultOf(() =>
      load(`services:
  a:
    image: i
    imag: 2
    ports: [{ target: [1] }]
  b:
    image: 3
    restrat: always
`),
    );
    expect(formatError(fault)).toBe(
      [
        '/home/me/shop/compose.yaml:5:15: services.a.ports[0].target must be an integer or string',
        '    5 |     ports: [{ target: [1] }]',
        '      |               ^^^^^^',
        '/home/me/shop/compose.yaml:4:5: unknown key "imag" in services.a',
        '    4 |     imag: 2',
        '      |     ^^^^ did you mean "image"?',
        '/home/me/shop/compose.yaml:8:5: unknown key "restrat" in services.b',
        '    8 |     restrat: always',
        '      |     ^^^^^^^ did you mean "restart"?',
        '/home/me/shop/compose.yaml:7:5: services.b.image must be a string',
        '    7 |     image: 3',
        '      |     ^^^^^',
      ].join('\n'),
    );
  });

  test('that span several keys are reported together', () => {
    const fault = faultOf(() =>
      load(`services:
  a: { image: i, networks: [no] }
  b: { depends_on: [a] }
  c: { image: i, scale: 2, container_name: cc, depends_on: [nobody] }
`),
    );
    expect([fault, ...fault.also].map(({ message }) => message)).toEqual([
      expect.stringContaining('undefined network no'),
      expect.stringContaining('neither an image'),
      expect.stringContaining('undefined service'),
      expect.stringContaining('container name'),
    ]);
  });

  test('are cut off where nobody would read on', () => {
    const lines = Array.from({ length: 50 }, (_, index) => `  s${index}: { imag: i }\n`);
    const fault = faultOf(() => load(`services:\n${lines.join('')}`));
    expect(fault.also).toHaveLength(20);
    expect(fault.also.at(-1)?.message).toBe('and 30 more');
  });
});
