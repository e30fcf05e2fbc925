/**
 * A random project: files, command line and environment, out of a seed. Most services and resources
 * fit together; overrides, extends, includes, profiles and variables are mixed in.
 */
import { Random } from '../random.ts';
import { lines, resourceKinds, serviceKeys, serviceNames, wrongValue } from './keys.ts';
import { Tagged, type Tree, TreeMap, writeTree } from './tree.ts';

export interface Scenario {
  /** Paths relative to the project folder, and texts. */
  readonly files: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  /** What follows `config`. */
  readonly cmd: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

type Role = 'main' | 'override' | 'base';

export function makeScenario(seed: number): Scenario {
  return new Maker(new Random(seed)).make();
}

class Maker {
  readonly #random: Random;
  readonly #files: Record<string, string> = {};
  readonly #args: string[] = [];
  readonly #env: Record<string, string> = {};
  readonly #variables = new Map<string, string>();
  readonly #variableShare: number;
  readonly #wrongShare: number;
  readonly #mostKeys: number;

  constructor(random: Random) {
    this.#random = random;
    this.#variableShare = random.chance(0.5) ? 0 : 0.08;
    this.#wrongShare = random.chance(0.15) ? 0.05 : 0;
    this.#mostKeys = random.pick([2, 4, 8]);
  }

  make(): Scenario {
    const random = this.#random;
    this.#write('compose.yaml', this.#project('main'));
    if (random.chance(0.45)) this.#addOverrides();
    else if (random.chance(0.15)) {
      this.#files['compose.yaml'] += `---\n${this.#text(this.#project('override'))}`;
    }
    this.#addSideFiles();
    this.#addArguments();
    const [first, ...others] = [...this.#variables];
    if (first !== undefined && random.chance(0.3)) {
      this.#files['.env'] += `${first[0]}=${first[1].includes("'") ? '' : `'${first[1]}'`}\n`;
      Object.assign(this.#env, Object.fromEntries(others));
    } else Object.assign(this.#env, Object.fromEntries(this.#variables));
    return { files: this.#files, args: this.#args, cmd: this.#command(), env: this.#env };
  }

  #write(path: string, tree: TreeMap): void {
    this.#files[path] = this.#text(tree);
  }

  #text(tree: TreeMap): string {
    return writeTree(tree, this.#random, {
      variableShare: this.#variableShare,
      variables: this.#variables,
    });
  }

  #addOverrides(): void {
    const random = this.#random;
    const kind = random.below(4);
    if (kind === 0) {
      this.#write('compose.override.yaml', this.#project('override'));
      return;
    }
    const paths = ['over.yaml', 'sub/more.yaml'].slice(0, random.chance(0.3) ? 2 : 1);
    for (const path of paths) this.#write(path, this.#project('override'));
    if (kind === 1) this.#env.COMPOSE_FILE = ['compose.yaml', ...paths].join(':');
    else this.#args.push(...['compose.yaml', ...paths].flatMap((path) => ['-f', path]));
  }

  #project(role: Role): TreeMap {
    const random = this.#random;
    const entries: [string, Tree][] = [];
    if (role === 'main' && random.chance(0.1)) {
      entries.push(['name', random.pick(['own', '"My Name"', '"${NAME:-n}"'])]);
    }
    if (random.chance(0.05)) entries.push(['version', '"3.8"']);
    const shares = role === 'main' && random.chance(0.15);
    if (shares) {
      // The reference forgets a !reset in an anchor at its second use (docs/compose-differences.md).
      const common = this.#service('a', 'override', 3).entries.map(
        ([key, value]): [string, Tree] => [key, value instanceof Tagged ? value.value : value],
      );
      entries.push(['x-common', new Tagged('&common', new TreeMap(common))]);
    }
    if (role === 'main' && random.chance(0.2)) entries.push(['include', this.#include()]);
    const names = role === 'main' ? serviceNames : random.some(serviceNames, 2);
    const services = names.map((name): [string, Tree] => {
      const service = this.#service(name, role, this.#mostKeys);
      if (!shares || random.chance(0.5)) return [name, service];
      return [name, new TreeMap([['<<', '*common'], ...service.entries])];
    });
    entries.push(['services', new TreeMap(services)]);
    for (const [kind, { names: all, make }] of Object.entries(resourceKinds)) {
      const declared = role === 'main' ? all : random.chance(0.25) ? random.some(all, 2) : [];
      if (declared.length === 0) continue;
      const resources = declared.map((name): [string, Tree] => {
        const isBare = name === 'default' || random.chance(0.3);
        const canBeBare = kind === 'networks' || kind === 'volumes';
        if (isBare && canBeBare) return [name, '{}'];
        // A secret or config has one source, and an override may not bring another one.
        if (role === 'override' && !canBeBare && random.chance(0.9)) return [name, 'null'];
        return [name, this.#perhapsWrong(make(random))];
      });
      entries.push([kind, new TreeMap(resources)]);
    }
    return new TreeMap(entries);
  }

  #service(name: string, role: Role, most: number): TreeMap {
    const random = this.#random;
    const later = role === 'base' ? [] : serviceNames.filter((other) => other > name);
    const makes = serviceKeys(later);
    const keys = random.some(Object.keys(makes), most);
    const chosen = keys.filter((key) => !isConflicting(key, keys));
    const entries = chosen.map((key): [string, Tree] => {
      const value = this.#perhapsWrong(makes[key]?.(random) ?? 'null');
      if (role !== 'override' || random.chance(0.88)) return [key, value];
      return [key, new Tagged(random.pick(['!reset', '!override']), value)];
    });
    if (role !== 'override' && !chosen.includes('image') && !chosen.includes('build')) {
      entries.unshift(['image', `i${name}`]);
    }
    if (role === 'main' && random.chance(0.15)) entries.push(['extends', this.#extends(later)]);
    return new TreeMap(entries);
  }

  #perhapsWrong(value: Tree): Tree {
    return this.#random.chance(this.#wrongShare) ? wrongValue(this.#random) : value;
  }

  #extends(later: readonly string[]): Tree {
    const random = this.#random;
    const local = random.pick(later);
    if (local !== undefined && random.chance(0.5)) {
      return random.chance(0.5) ? local : new TreeMap([['service', local]]);
    }
    const path = random.pick(['base.yaml', 'sub/base.yaml']);
    if (this.#files[path] === undefined) {
      const deep = this.#service('base', 'base', this.#mostKeys);
      const further: [string, Tree][] = random.chance(0.3) ? [['extends', 'deeper']] : [];
      const services = new TreeMap([
        ['base', new TreeMap([...deep.entries, ...further])],
        ['deeper', this.#service('deeper', 'base', this.#mostKeys)],
      ]);
      this.#write(path, new TreeMap([['services', services]]));
    }
    return new TreeMap([
      ['file', path],
      ['service', random.pick(['base', 'deeper'])],
    ]);
  }

  #include(): Tree {
    const random = this.#random;
    const service = this.#service('inner', 'base', this.#mostKeys);
    const declared = Object.entries(resourceKinds).map(
      ([kind, { names, make }]): [string, Tree] => [
        kind,
        new TreeMap(names.map((name): [string, Tree] => [name, make(random)])),
      ],
    );
    // Resources of the same name in both projects conflict, unless they are the same.
    const used = usedResources(service).filter(() => random.chance(0.9));
    const kept = declared.flatMap(([kind, map]): [string, Tree][] =>
      map instanceof TreeMap
        ? [[kind, new TreeMap(map.entries.filter(([name]) => used.includes(name)))]]
        : [],
    );
    this.#write(
      'inc/inc.yaml',
      new TreeMap([
        ['services', new TreeMap([['inner', service]])],
        ...kept.filter(([, map]) => map instanceof TreeMap && map.entries.length > 0),
      ]),
    );
    const entries: [string, Tree][] = [['path', 'inc/inc.yaml']];
    if (random.chance(0.3)) {
      const more = this.#service('inner', 'override', 2);
      this.#write('inc/more.yaml', new TreeMap([['services', new TreeMap([['inner', more]])]]));
      entries[0] = ['path', ['inc/inc.yaml', 'inc/more.yaml']];
    }
    if (random.chance(0.3)) entries.push(['project_directory', random.pick(['.', 'sub', './inc'])]);
    if (random.chance(0.3))
      entries.push(['env_file', random.chance(0.5) ? 'e1.env' : ['e1.env', 'sub/e3.env']]);
    return [entries.length === 1 && random.chance(0.6) ? 'inc/inc.yaml' : new TreeMap(entries)];
  }

  #addSideFiles(): void {
    const random = this.#random;
    const envLines = (): string =>
      `${Array.from({ length: random.below(5) }, () => random.pick(lines.env)).join('\n')}\n`;
    for (const path of ['e1.env', 'e2.env', 'sub/e3.env', 'inc/e1.env', 'sub/e1.env']) {
      this.#files[path] = envLines();
    }
    for (const path of ['l1.lab', 'l2.lab', 'inc/l1.lab', 'sub/l1.lab']) {
      this.#files[path] = `${random.some(lines.labels, 3).join('\n')}\n`;
    }
    this.#files['.env'] = random.chance(0.5) ? envLines() : '';
    if (random.chance(0.3)) this.#files['inc/.env'] = envLines();
  }

  #addArguments(): void {
    const random = this.#random;
    if (random.chance(0.6)) this.#env.FOO = random.pick(['foo', '', 'a b', '$x']);
    if (random.chance(0.4)) this.#env.TAG = 'v9';
    if (random.chance(0.3)) this.#env.SECRET = 'hidden';
    const profiles = random.below(5);
    if (profiles === 0) this.#args.push('--profile', random.pick(['p1', '*', 'p2']));
    if (profiles === 1) this.#env.COMPOSE_PROFILES = random.pick(['p1', 'p1,p2', 'p3, p1', '*']);
    if (profiles === 2) this.#args.push('--profile', 'p1', '--profile', 'p2', '--profile', 'p3');
    if (random.chance(0.1)) this.#args.push('-p', random.pick(['pro', 'a-b_c', '7up']));
    if (random.chance(0.1)) this.#env.COMPOSE_PROJECT_NAME = 'from-env';
    if (random.chance(0.1)) this.#args.push('--env-file', random.pick(['e1.env', 'sub/e3.env']));
    if (random.chance(0.05)) this.#args.push('--project-directory', random.pick(['sub', '.']));
  }

  #command(): readonly string[] {
    const random = this.#random;
    const json = ['--format', 'json'];
    switch (random.below(16)) {
      case 0:
        return [...json, '--no-interpolate'];
      case 1:
        return [...json, '--no-normalize'];
      case 2:
        return [...json, '--no-path-resolution'];
      case 3:
        return [...json, random.pick(['--no-consistency', '--no-env-resolution'])];
      case 4:
        return [...json, ...random.some(serviceNames, 2)];
      case 5:
        return [random.pick(['--services', '--volumes', '--networks', '--images', '--profiles'])];
      case 6:
        return [];
      default:
        return json;
    }
  }
}

/** Of two keys that exclude each other, the second stays away. */
function isConflicting(key: string, keys: readonly string[]): boolean {
  const others = conflicts[key] ?? [];
  return others.some((other) => keys.includes(other) && keys.indexOf(other) < keys.indexOf(key));
}

const exclusive: readonly (readonly string[])[] = [
  ['network_mode', 'networks'],
  ['scale', 'deploy', 'container_name'],
  ['deploy', 'cpus', 'mem_limit', 'mem_reservation', 'pids_limit'],
  ['tmpfs', 'volumes'],
];
const conflicts: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  exclusive
    .flat()
    .map((key) => [
      key,
      exclusive
        .filter((group) => group.includes(key))
        .flatMap((group) => group.filter((k) => k !== key)),
    ]),
);

function usedResources(service: TreeMap): readonly string[] {
  const text = JSON.stringify(service);
  return [...text.matchAll(/\b([nvscm][123])\b/g)].map(([, name]) => name ?? '');
}
