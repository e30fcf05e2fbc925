/** A machine without power: how long until its replicas run elsewhere, and what callers see. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '../../lab/machine.ts';
import { type App, serviceLabel } from './app.ts';
import type { Contender, Machines } from './contenders.ts';
import { EventWatch } from './events.ts';
import { fromContainer, ingressIsOpen, type Request, throughIngress } from './traffic.ts';

/** As many replicas as machines, so that every machine has one of each service. */
const app: App = { services: ['web', 'b', 'c'], replicaCount: 5, version: 1, clientMachine: 'm1' };
/** 40 look-ups and requests a second from the container; 2 s of patience. */
const insideRates = { freshPerS: 40, keptPerS: 0, timeoutMs: 2_000, durationMs: 35_000 } as const;
/** 10 a second through each machine, one half on kept connections; more patience than any retry. */
const outsideRates = {
  freshPerS: 20,
  keptPerS: 20,
  timeoutMs: 15_000,
  durationMs: 35_000,
} as const;
/** 3 s of traffic before the cut. */
const beforeMs = 3_000;

export interface Cut {
  /** When the power went, ms since the epoch. */
  readonly cutMs: number;
  /** From the cut until the replicas it took are healthy elsewhere. */
  readonly replacedS: number;
  /** From the cut until the beginning of the last request of the container that failed. */
  readonly insideFailingS: number;
  readonly inside: readonly Request[];
  /** Requests through surviving machines that failed although they began after the cut. */
  readonly outsideFailed: readonly Request[];
  readonly outside: readonly Request[];
}

/**
 * Deploys, cuts a machine's power, waits until the app is whole again, removes it.
 * @param machines the first is where commands run and the client is
 * @param cut the machine that goes off; it stays off
 */
export async function measurePowerCut(
  contender: Contender,
  machines: Machines,
  options: { readonly cut: Machine; readonly hasIngress: boolean },
): Promise<Cut> {
  const { cut } = options;
  const [first] = machines;
  const others = machines.filter((machine) => machine !== cut);
  await contender.apply(app);
  if (options.hasIngress) await ingressIsOpen(others);
  const client = await contender.client(first);
  const lost = await cut
    .docker()
    .listContainers({ filters: JSON.stringify({ label: [serviceLabel] }) });
  const services = new Set(lost.map(({ Labels }) => Labels[serviceLabel]));
  if (services.size < app.services.length) throw new Error(`${cut.name} has not every service`);
  const watch = await EventWatch.open(others);
  try {
    const insideDone = fromContainer(first, client, 'web', insideRates);
    const outsideDone = options.hasIngress
      ? throughIngress(others, outsideRates)
      : Promise.resolve([]);
    await sleep(beforeMs);
    const cutMs = Date.now();
    await cut.crash();
    const replacedMs = await watch.until('the replicas run elsewhere', () => {
      const started = new Set(watch.of('start').map(({ id }) => id));
      const healthy = new Set(watch.of('health_status: healthy').map(({ id }) => id));
      return [...healthy].filter((id) => started.has(id)).length >= lost.length;
    });
    const inside = await insideDone;
    const outside = await outsideDone;
    const failing = inside.filter(
      ({ problem, startMs }) => problem !== undefined && startMs > cutMs,
    );
    return {
      cutMs,
      replacedS: (replacedMs - cutMs) / 1000,
      insideFailingS: (Math.max(cutMs, ...failing.map(({ startMs }) => startMs)) - cutMs) / 1000,
      inside,
      outside,
      outsideFailed: outside.filter(
        ({ problem, startMs }) => problem !== undefined && startMs > cutMs,
      ),
    };
  } finally {
    watch.stop();
  }
}
