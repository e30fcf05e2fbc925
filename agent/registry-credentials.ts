/**
 * Registry credentials that travel with a change. They come from the user's command, are sealed for
 * each member (seal.ts) and lie in the project's `auth/` record: a machine that gets a replica later
 * (healing, scaling, a join) can pull as well. They are in no record in plain text, replaced by the
 * next change that brings some for the same registry, and deleted with `down` or when no service
 * uses the registry any more. A machine that joins is added by a member that can read them: the
 * first in rendezvous order, so that usually one does it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hubRegistry, registryOf } from '../src/images/reference.ts';
import type { RegistryCredentials } from '../src/model/api.ts';
import type { ClusterId, MachineId } from '../src/model/ids.ts';
import { type CredentialsRecord, recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { View } from '../src/model/view.ts';
import { compareRank } from '../src/plan/rank.ts';
import { isCredentials } from '../src/view/record-checks.ts';
import type { RegistryAuth } from './engine-image.ts';
import type { Identity } from './identity.ts';
import type { Log } from './log.ts';
import { seal } from './seal.ts';

/** 200 ms: a join brings several records; they are looked at together. */
const joinDelayMs = 200;

/** 10 s: how long a machine that has just joined waits for its copy; a round of gossip or two. */
const copyWaitMs = 10_000;
const copyPollMs = 100;

export interface RegistryCredentialsComponents {
  readonly replica: Pick<Replica, 'get' | 'entries' | 'write' | 'subscribe'>;
  readonly identity: Pick<Identity, 'machine' | 'unseal'>;
  readonly view: () => View;
  readonly log: Log;
}

type Sealed = Readonly<Record<MachineId, string>>;

export class RegistryCredentialsKeeper {
  readonly #components: RegistryCredentialsComponents;
  readonly #cluster: ClusterId;
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(components: RegistryCredentialsComponents, options: { readonly cluster: ClusterId }) {
    this.#components = components;
    this.#cluster = options.cluster;
  }

  /** Follows joins from now on. */
  start(): void {
    this.#unsubscribe = this.#components.replica.subscribe((keys) => {
      if (!keys.some((key) => key.startsWith('m/') || key.startsWith('auth/'))) return;
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#addMissing().catch((error: unknown) => {
          this.#components.log.warn('credentials could not be passed on', { error });
        });
      }, joinDelayMs);
    });
  }

  stop(): void {
    this.#unsubscribe?.();
    clearTimeout(this.#timer);
  }

  /** Credentials of a project for an image, as far as this machine has any. */
  authFor(project: string, reference: string): RegistryAuth | undefined {
    const registry = registryOf(reference);
    const record = registry === undefined ? undefined : this.#read(project);
    const found = registry && this.#open(project, registry, record?.registries[registry]);
    return found ? registryAuth(registry, found) : undefined;
  }

  /** The same for a pull that is about to begin: a copy that is on its way is waited for. */
  async awaitAuth(project: string, reference: string): Promise<RegistryAuth | undefined> {
    const registry = registryOf(reference) ?? '';
    const { machine } = this.#components.identity;
    for (let waitedMs = 0; waitedMs < copyWaitMs; waitedMs += copyPollMs) {
      const sealed = this.#read(project)?.registries[registry];
      if (sealed === undefined || sealed[machine] !== undefined) break;
      await sleep(copyPollMs);
    }
    return this.authFor(project, reference);
  }

  /**
   * Writes what a change brought, and forgets what its project no longer needs.
   * @param references images of the project after the change
   */
  async replace(
    project: string,
    given: Readonly<Record<string, RegistryCredentials>>,
    references: readonly string[],
  ): Promise<void> {
    const before = this.#read(project)?.registries ?? {};
    const registries: Record<string, Sealed> = {};
    for (const registry of new Set(references.map(registryOf))) {
      if (registry === undefined) continue;
      const mine = given[registry];
      const old = before[registry];
      if (mine !== undefined) registries[registry] = this.#sealed(project, registry, mine, old);
      else if (old !== undefined) registries[registry] = old;
    }
    const isSame = JSON.stringify(registries) === JSON.stringify(before);
    if (isSame) return;
    const isEmpty = Object.keys(registries).length === 0;
    await this.#components.replica.write(
      recordKey.credentials(project),
      isEmpty ? null : ({ registries } satisfies CredentialsRecord),
    );
  }

  #sealed(
    project: string,
    registry: string,
    credentials: RegistryCredentials,
    old: Sealed | undefined,
  ): Sealed {
    const machines = [...this.#components.view().machines.values()];
    const known = this.#open(project, registry, old);
    const isKnown = known !== undefined && JSON.stringify(known) === JSON.stringify(credentials);
    return Object.fromEntries(
      machines.map(({ id, publicKey }) => {
        const kept = isKnown ? old?.[id] : undefined;
        const plain = Buffer.from(JSON.stringify(credentials), 'utf8');
        return [id, kept ?? seal(publicKey, this.#context(project, registry, id), plain)];
      }),
    );
  }

  /** Machines that have joined since get what this one can read. */
  async #addMissing(): Promise<void> {
    const { replica, identity, view } = this.#components;
    const { machines } = view();
    for (const { key, value } of replica.entries('auth/')) {
      if (!isCredentials(value)) continue;
      const project = key.slice('auth/'.length);
      const registries: Record<string, Sealed> = { ...value.registries };
      let isChanged = false;
      for (const [registry, sealed] of Object.entries(value.registries)) {
        if ([...machines.keys()].every((id) => sealed[id] !== undefined)) continue;
        const holders = [...machines.values()]
          .filter(({ id, liveness }) => sealed[id] !== undefined && liveness === 'reachable')
          .sort((a, b) => compareRank(key, a.id, b.id));
        if (holders[0]?.id !== identity.machine) continue;
        const credentials = this.#open(project, registry, sealed);
        if (credentials === undefined) continue;
        registries[registry] = this.#sealed(project, registry, credentials, sealed);
        isChanged = true;
      }
      if (isChanged) await replica.write(key, { registries });
    }
  }

  #read(project: string): CredentialsRecord | undefined {
    const value = this.#components.replica.get(recordKey.credentials(project))?.value;
    return isCredentials(value) ? value : undefined;
  }

  #open(
    project: string,
    registry: string,
    sealed: Sealed | undefined,
  ): RegistryCredentials | undefined {
    const { identity, log } = this.#components;
    const own = sealed?.[identity.machine];
    if (own === undefined) return undefined;
    try {
      const plain = identity.unseal(this.#context(project, registry, identity.machine), own);
      // Authenticated by the seal: a member wrote it in this shape.
      return JSON.parse(plain.toString('utf8')) as RegistryCredentials;
    } catch (error) {
      log.warn('credentials for a registry cannot be read', { project, registry, error });
      return undefined;
    }
  }

  #context(project: string, registry: string, machine: MachineId): string {
    return JSON.stringify(['registry', this.#cluster, project, registry, machine]);
  }
}

/** Credentials in the form in which the engine takes them. */
export function registryAuth(
  registry: string,
  { username, password, identityToken }: RegistryCredentials,
): RegistryAuth {
  const serveraddress = registry === hubRegistry ? 'https://index.docker.io/v1/' : registry;
  if (identityToken === undefined) return { username, password, serveraddress };
  return { username, password: '', serveraddress, identitytoken: identityToken };
}
