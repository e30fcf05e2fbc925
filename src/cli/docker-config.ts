/**
 * Registry credentials out of the user's own Docker configuration, as `docker login` left them:
 * `auths` in config.json, or a credential helper (`credHelpers`, `credsStore`), which is run and
 * asked. Only for the registries that a change uses; nothing is kept here. A helper that fails is
 * said and not fatal: the image may be on the machines, or public.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hubRegistry, registryOf } from '../images/reference.ts';
import { TscError } from '../lib/errors.ts';
import type { RegistryCredentials } from '../model/api.ts';
import type { Cli, Io } from './cli.ts';
import { say } from './cli.ts';

/** 30 s: a helper may have to ask a cloud for a fresh token. */
const helperMs = 30_000;

/** What Docker calls Docker Hub in its configuration. */
const hubKey = 'https://index.docker.io/v1/';

interface DockerConfig {
  readonly auths?: Readonly<Record<string, StoredAuth>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

interface StoredAuth {
  /** Base64 of "user:password". */
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

/**
 * @param images names of the images that are wanted
 * @returns by registry, those that there are credentials for
 * @throws TscError E_DOCKER_CONFIG when the file is there and cannot be read
 */
export async function credentialsFor(
  { io }: Pick<Cli, 'io'>,
  images: readonly string[],
): Promise<Readonly<Record<string, RegistryCredentials>>> {
  const registries = new Set(images.map(registryOf).filter((registry) => registry !== undefined));
  if (registries.size === 0) return {};
  const config = await readConfig(io);
  const found: Record<string, RegistryCredentials> = {};
  for (const registry of registries) {
    const credentials = await credentialsOf(config, registry, io);
    if (credentials !== undefined) found[registry] = credentials;
  }
  return found;
}

async function readConfig({ env }: Io): Promise<DockerConfig> {
  const folder = env.DOCKER_CONFIG || (env.HOME && join(env.HOME, '.docker'));
  if (!folder) return {};
  const path = join(folder, 'config.json');
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    // Docker's own file; each value is looked at with care where it is used.
    return typeof value === 'object' && value !== null ? (value as DockerConfig) : {};
  } catch (cause) {
    const code: unknown = cause instanceof Error ? Reflect.get(cause, 'code') : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return {};
    throw new TscError('E_DOCKER_CONFIG', `${path} cannot be read`, {
      hint: 'credentials of registries are read from it; DOCKER_CONFIG names another folder',
      cause,
    });
  }
}

async function credentialsOf(
  config: DockerConfig,
  registry: string,
  io: Io,
): Promise<RegistryCredentials | undefined> {
  const key = registry === hubRegistry ? hubKey : registry;
  const helper = config.credHelpers?.[key] ?? config.credHelpers?.[registry] ?? config.credsStore;
  if (helper) {
    const answer = await askHelper(helper, key, io);
    if (answer !== undefined) return answer;
  }
  const stored = Object.entries(config.auths ?? {}).find(
    ([name]) => name === key || hostOf(name) === hostOf(key),
  )?.[1];
  return stored === undefined ? undefined : storedCredentials(stored);
}

/** "registry.example:5000" of "https://registry.example:5000/v2/". */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, '').split('/', 1)[0] ?? '';
}

function storedCredentials(stored: StoredAuth): RegistryCredentials | undefined {
  const { auth = '', identitytoken } = stored;
  const [, name = '', secret = ''] =
    /^([^:]*):([^]*?)\0*$/.exec(Buffer.from(auth, 'base64').toString('utf8')) ?? [];
  const username = stored.username || name;
  const password = stored.password || secret;
  if (identitytoken) return { username, password: '', identityToken: identitytoken };
  return username === '' && password === '' ? undefined : { username, password };
}

/** Runs `docker-credential-<name> get`, as Docker does. */
async function askHelper(
  name: string,
  key: string,
  io: Io,
): Promise<RegistryCredentials | undefined> {
  try {
    const { code, output } = await runHelper(`docker-credential-${name}`, key, io);
    if (code !== 0) {
      // The helpers' common word for "I have none".
      if (/credentials not found/i.test(output)) return undefined;
      throw new Error(output.trim() || `exit code ${code}`);
    }
    const { Username, Secret } = JSON.parse(output) as { Username?: unknown; Secret?: unknown };
    if (typeof Username !== 'string' || typeof Secret !== 'string' || Secret === '') {
      return undefined;
    }
    return Username === '<token>'
      ? { username: '', password: '', identityToken: Secret }
      : { username: Username, password: Secret };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say(io.stderr, `warning: credential helper "${name}" has nothing for ${key}: ${why}`);
    return undefined;
  }
}

function runHelper(
  program: string,
  input: string,
  { env }: Io,
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      env: { ...env },
      stdio: ['pipe', 'pipe', 'ignore'],
      timeout: helperMs,
    });
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
    // One that does not read its input has its reason.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
