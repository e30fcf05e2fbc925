/**
 * A private registry with a password: the credentials of whoever runs `up` travel with the change,
 * sealed; a tag is resolved once, so machines that pull later run what the others run.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage, loadImages } from '../lab/images.ts';
import { type LabRegistry, startRegistry } from '../lab/registry.ts';
import { Cluster, engines } from './cluster.ts';

const machines = ['m1', 'm2', 'm3'];

// Which store an engine has makes no difference here: one is enough.
describe.each(engines().slice(0, 1))('a private registry on engine $engine', ({ engine }) => {
  let cluster: Cluster;
  let registry: LabRegistry;
  let image: string;

  const onM1 = (...argv: string[]) => cluster.lab.machine('m1').execOk(argv);

  /** Puts another content under the tag; no engine keeps a copy. */
  async function publish(version: string): Promise<void> {
    const made = await buildImage({
      name: `made:${version}`,
      from: 'busybox',
      config: { Cmd: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'] },
      files: { '/version': `${version}\n` },
    });
    await loadImages([cluster.lab.machine('m1')], [made]);
    await onM1('docker', 'tag', `made:${version}`, image);
    await onM1('docker', 'push', image);
    await onM1('docker', 'rmi', image, `made:${version}`);
  }

  /** What each replica has in its file, by machine. */
  async function versions(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const container of await cluster.containers('private')) {
      if (container.state !== 'running') continue;
      found[container.machine] = (
        await cluster.execIn(container, ['cat', '/version'])
      ).stdout.trim();
    }
    return found;
  }

  const up = (...args: string[]) => cluster.tsc('m1', ['up', ...args], { cwd: 'private' });

  beforeAll(async () => {
    cluster = await Cluster.create({
      machines: 3,
      engine,
      images: ['busybox:latest'],
      daemonConfig: { 'insecure-registries': ['0.0.0.0/0'] },
    });
    registry = await startRegistry(cluster.lab.machine('m1'));
    image = `${registry.host}/team/app:1`;
    cluster.writeFile(
      'm1',
      'private/compose.yaml',
      `name: private\nservices:\n  app:\n    image: ${image}\n    deploy: { replicas: 2 }\n    x-machines: [m2, m3]\n`,
    );
    await onM1('docker', 'login', '-u', registry.user, '-p', registry.password, registry.host);
    await publish('one');
  });
  afterAll(() => cluster?.destroy());

  test('a wrong password stops up before anything has changed, and is said as such', async () => {
    const auth = Buffer.from(`${registry.user}:wrong`).toString('base64');
    const config = JSON.stringify({ auths: { [registry.host]: { auth } } });
    await cluster.lab.machine('m1').writeFile('/srv/wrong/config.json', config);
    const env = { DOCKER_CONFIG: '/srv/wrong' };
    const refused = await cluster.tsc('m1', ['up'], { cwd: 'private', env });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `${registry.host} refuses the credentials of ${registry.user} for image "${image}"`,
    );
    expect(refused.stderr).toContain(`docker login ${registry.host}`);
    const none = await cluster.tsc('m1', ['up'], {
      cwd: 'private',
      env: { DOCKER_CONFIG: '/nowhere' },
    });
    expect(none.stderr).toContain(`${registry.host} wants credentials, and none were given`);
    expect((await cluster.snapshot('m1')).projects).toEqual([]);
  });

  test('machines pull with credentials that only the command had', async () => {
    expect(await up()).toSucceed();
    expect(await versions()).toEqual({ m2: 'one', m3: 'one' });
    const ps = await cluster.tsc('m3', ['-p', 'private', 'ps']);
    expect(ps.stdout).toContain(image);
  });

  test('a machine that pulls after the tag has moved runs what the others run', async () => {
    await publish('two');
    cluster.writeFile(
      'm1',
      'private/compose.yaml',
      `name: private\nservices:\n  app:\n    image: ${image}\n    deploy: { mode: global }\n`,
    );
    // m1 has no image and m3 takes the change: whose command this is has no credentials.
    cluster.writeFile(
      'm3',
      'private/compose.yaml',
      `name: private\nservices:\n  app:\n    image: ${image}\n    deploy: { mode: global }\n`,
    );
    expect(await cluster.tsc('m3', ['up'], { cwd: 'private' })).toSucceed();
    expect(await versions()).toEqual({ m1: 'one', m2: 'one', m3: 'one' });
    expect(await up('--pull', 'always')).toSucceed();
    expect(await versions()).toEqual({ m1: 'two', m2: 'two', m3: 'two' });
  });

  test('a machine that joins later can pull, and the password is in nobody’s store', async () => {
    await cluster.addMachine('m4');
    const endMs = Date.now() + 90_000;
    while ((await versions())['m4'] === undefined && Date.now() < endMs);
    expect((await versions())['m4']).toBe('two');
    const secrets = [registry.password, Buffer.from(registry.password).toString('base64')];
    for (const machine of machines) {
      const folder = cluster.lab.machine(machine).diskPath('/var/lib/tsc-compose');
      for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!file.isFile()) continue;
        const bytes = readFileSync(join(file.parentPath, file.name));
        for (const text of secrets) expect(bytes.includes(text), file.name).toBe(false);
      }
    }
    expect(await cluster.tsc('m1', ['-p', 'private', 'down'])).toSucceed();
  });
});
