/** A rolling update under traffic: how long it takes, and whether anybody notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type App, serviceLabel, versionLabel } from './app.ts';
import type { Contender, Machines } from './contenders.ts';
import { EventWatch } from './events.ts';
import { fromContainer, type Request, throughIngress } from './traffic.ts';

/** 18 s of 200 requests a second: more than the 3,000 that are promised, longer than any update. */
const rates = { freshPerS: 150, keptPerS: 50, timeoutMs: 5_000, durationMs: 18_000 } as const;
/** 3 s of traffic before the update. */
const beforeMs = 3_000;

export const updatedApp: App = {
  services: ['web'],
  replicaCount: 3,
  version: 1,
  clientMachine: 'm1',
};

export interface Updated {
  /** From the command until all replicas are new and healthy, and no old one runs. */
  readonly doneS: number;
  /** Until the contender says so. */
  readonly saidS: number;
  readonly inside: readonly Request[];
  /** Through the ingress of every machine; none of a contender that has no ingress here. */
  readonly outside: readonly Request[];
}

/** Deploys, updates under traffic, and removes. */
export async function measureUpdate(
  contender: Contender,
  machines: Machines,
  options: { readonly hasIngress: boolean },
): Promise<Updated> {
  const [first] = machines;
  await contender.apply(updatedApp);
  const client = await contender.client(first);
  const watch = await EventWatch.open(machines);
  try {
    const inside = fromContainer(first, client, 'web', rates);
    const outside = options.hasIngress ? throughIngress(machines, rates) : Promise.resolve([]);
    await sleep(beforeMs);
    const startMs = Date.now();
    const said = contender
      .apply({ ...updatedApp, version: 2 })
      .then(() => (Date.now() - startMs) / 1000);
    const doneMs = await watch.until('the update is done', () => {
      const fresh = watch.count('health_status: healthy', { [versionLabel]: '2' });
      const old = watch.count('die', { [versionLabel]: '1', [serviceLabel]: 'web' });
      return fresh >= updatedApp.replicaCount && old >= updatedApp.replicaCount;
    });
    return {
      doneS: (doneMs - startMs) / 1000,
      saidS: await said,
      inside: await inside,
      outside: await outside,
    };
  } finally {
    watch.stop();
    await contender.remove();
  }
}
