/** A rolling update under traffic: how long it takes, and whether anybody notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type App, serviceLabel, versionLabel } from './app.ts';
import type { Contender, Machines } from './contenders.ts';
import { EventWatch } from './events.ts';
import { fromContainer, ingressIsOpen, type Request, throughIngress } from './traffic.ts';

/** 16 s of 200 requests a second: more than the 3,000 that are promised, longer than any update. */
const rates = { freshPerS: 150, keptPerS: 50, timeoutMs: 5_000, durationMs: 16_000 } as const;
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
  /** From a container that looks the service up. */
  readonly inside: readonly Request[];
  /** In a second update, through the ingress of every machine; of a contender that has one here. */
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
  try {
    const client = await contender.client(first);
    const inside = fromContainer(first, client, 'web', rates);
    const { doneS, saidS } = await update(contender, machines, 2);
    const timed = { doneS, saidS, inside: await inside };
    if (!options.hasIngress) return { ...timed, outside: [] };
    await ingressIsOpen(machines);
    const outside = throughIngress(machines, rates);
    await update(contender, machines, 3);
    return { ...timed, outside: await outside };
  } finally {
    await contender.remove();
  }
}

/** One update to a version, from the one before. */
async function update(
  contender: Contender,
  machines: Machines,
  version: number,
): Promise<Pick<Updated, 'doneS' | 'saidS'>> {
  const watch = await EventWatch.open(machines);
  try {
    await sleep(beforeMs);
    const startMs = Date.now();
    const said = contender
      .apply({ ...updatedApp, version })
      .then(() => (Date.now() - startMs) / 1000);
    const ofVersion = (number: number) => ({
      [versionLabel]: `${number}`,
      [serviceLabel]: 'web',
    });
    const doneMs = await watch.until('the update is done', () => {
      const fresh = watch.count('health_status: healthy', ofVersion(version));
      const old = watch.count('die', ofVersion(version - 1));
      return fresh >= updatedApp.replicaCount && old >= updatedApp.replicaCount;
    });
    return { doneS: (doneMs - startMs) / 1000, saidS: await said };
  } finally {
    watch.stop();
  }
}
