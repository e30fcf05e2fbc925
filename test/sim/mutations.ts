/**
 * The shipping code with one thing taken out, to show that the simulation would notice. A mutation
 * replaces text in a source while it is loaded, in a thread of its own; the text must stand there
 * exactly once, so that a mutation cannot silently become void when the code changes.
 */
import { registerHooks } from 'node:module';

interface Change {
  /** Path in the project. */
  readonly file: string;
  readonly text: string;
  readonly by: string;
}

export const mutations = {
  noConfirmWindow: [
    {
      file: 'src/gossip/link.ts',
      text: 'return recentFlapCount(peer, monotonicMs) > 1 ? confirmFlappingMs : confirmMs;',
      by: 'return 0 * confirmFlappingMs * confirmMs * recentFlapCount(peer, monotonicMs);',
    },
  ],
  noBootGuard: [
    {
      file: 'src/gossip/guards.ts',
      text: "if (this.#isBooting(input)) guards.push('booting');",
      by: 'this.#isBooting(input);',
    },
  ],
  edgeByOneEnd: [
    {
      file: 'src/gossip/link-graph.ts',
      text: 'for (const peer of this.#listed.get(machine) ?? nobody) {',
      by: 'for (const peer of this.#listed.keys()) {',
    },
    {
      file: 'src/gossip/link-graph.ts',
      text: 'if (this.#listed.get(peer)?.has(machine)) peers.push(peer);',
      by: 'if (this.#listed.get(peer)?.has(machine) || this.#listed.get(machine)?.has(peer)) peers.push(peer);',
    },
  ],
  repairByVersion: [
    {
      file: 'src/gossip/repair.ts',
      text: 'if (record === undefined || theirs.has(key)) continue;',
      by: 'if (record === undefined || theirs.has(key) || entries.some((entry) => entry.hlc > record.hlc)) continue;',
    },
    {
      file: 'src/gossip/repair.ts',
      text: `if (ours === undefined || ourFingerprint === undefined) {
        wanted.push(key);`,
      by: `if (ours === undefined || ourFingerprint === undefined) {
        if (![...map.records()].some((record) => record.hlc > hlc)) wanted.push(key);`,
    },
  ],
  removalOnAbsence: [
    {
      file: 'src/plan/plan.ts',
      text: 'steps.wait(container, `no record of project ${container.project}: ${container.name} is kept`);',
      by: "removeStep(steps, container, defaultGraceMs, 'no record');",
    },
  ],
  noTurn: [
    {
      file: 'src/plan/turn.ts',
      text: 'if (position < 0 || position >= parallelism) {',
      by: 'if (position < 0 || position >= parallelism + 100) {',
    },
    {
      file: 'src/plan/turn.ts',
      text: 'return readySlots.size > servedCount - policyOf(view, service).parallelism;',
      by: 'return readySlots.size >= 0;',
    },
  ],
  hookByAll: [
    {
      file: 'src/plan/pre-deploy.ts',
      text: 'hook.run !== service.rollout || hook.machine !== steps.self) return;',
      by: 'hook.run !== service.rollout) return;',
    },
  ],
  homeAnew: [
    {
      file: 'src/plan/accept.ts',
      text: '...(before?.pointer?.volumes ?? before?.tombstone?.volumes),',
      by: '',
    },
  ],
} as const satisfies Readonly<Record<string, readonly Change[]>>;

export type MutationName = keyof typeof mutations;

export function isMutation(name: string): name is MutationName {
  return Object.hasOwn(mutations, name);
}

/** From now on this thread loads the mutated sources; call it before they are imported. */
export function applyMutation(name: MutationName): void {
  const changes: readonly Change[] = mutations[name];
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const own = changes.filter(({ file }) => url.endsWith(`/${file}`));
      if (own.length === 0) return loaded;
      if (loaded.source === undefined || loaded.source === null) throw new Error(`${url}: no text`);
      return { ...loaded, source: own.reduce(change, textOf(loaded.source)) };
    },
  });
}

function textOf(source: string | ArrayBuffer | NodeJS.TypedArray): string {
  if (typeof source === 'string') return source;
  return new TextDecoder().decode(source);
}

function change(source: string, { file, text, by }: Change): string {
  const parts = source.split(text);
  if (parts.length !== 2) throw new Error(`"${text}" stands ${parts.length - 1} times in ${file}`);
  return parts.join(by);
}
