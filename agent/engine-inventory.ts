/**
 * What a machine has that replicas can ask for beside CPUs and memory: the labels and generic
 * resources that its engine was configured with, and its GPUs. Only facts; who gets them is decided
 * by placement. What cannot be read is left out, and operators can say it (`machine set`).
 */
import { readdir } from 'node:fs/promises';
import Docker from 'dockerode';

/** 10 s: the engine answers from memory; longer is one that hangs. */
const infoMs = 10_000;

/** One entry for each GPU that NVIDIA's driver drives. */
const nvidiaFolder = '/proc/driver/nvidia/gpus';

export interface Inventory {
  readonly engineLabels: Readonly<Record<string, string>>;
  readonly resources: Readonly<Record<string, number>>;
}

/** @throws when the engine does not answer */
export async function readInventory(socketPath: string): Promise<Inventory> {
  const docker = new Docker({ socketPath });
  const timeout = AbortSignal.timeout(infoMs);
  const info = await Promise.race([
    docker.info() as Promise<unknown>,
    new Promise<never>((_, reject) => {
      timeout.addEventListener('abort', () => reject(new Error('the engine does not answer')));
    }),
  ]);
  return inventoryOf(info, await gpuCount());
}

/** Reads the engine's description of itself, whose shape differs between versions. */
export function inventoryOf(info: unknown, gpus: number): Inventory {
  const fields = isFields(info) ? info : {};
  const engineLabels: Record<string, string> = {};
  for (const label of listOf(fields['Labels'])) {
    const [key = '', ...value] = String(label).split('=');
    if (key !== '') engineLabels[key] = value.join('=');
  }
  const resources: Record<string, number> = gpus > 0 ? { gpu: gpus } : {};
  for (const entry of listOf(fields['GenericResources'])) {
    if (!isFields(entry)) continue;
    const { DiscreteResourceSpec: discrete, NamedResourceSpec: named } = entry;
    if (isFields(discrete) && typeof discrete['Kind'] === 'string') {
      add(resources, discrete['Kind'], Number(discrete['Value']));
    } else if (isFields(named) && typeof named['Kind'] === 'string') {
      add(resources, named['Kind'], 1);
    }
  }
  return { engineLabels, resources };
}

function add(resources: Record<string, number>, kind: string, count: number): void {
  if (Number.isFinite(count)) resources[kind] = (resources[kind] ?? 0) + count;
}

async function gpuCount(): Promise<number> {
  try {
    return (await readdir(nvidiaFolder)).length;
  } catch {
    return 0;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
