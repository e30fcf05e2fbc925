/** From 3 to 30 replicas: how long until all of them are healthy. */
import { serviceLabel } from './app.ts';
import { type Contender, type Machines, removeFloor, runFloor } from './contenders.ts';
import { EventWatch } from './events.ts';
import { updatedApp } from './update.ts';

const wantedCount = 30;
const addedCount = wantedCount - updatedApp.replicaCount;

/** @returns seconds from the command to the last replica's health */
export async function measureScale(contender: Contender, machines: Machines): Promise<number> {
  await contender.apply(updatedApp);
  try {
    return await untilHealthy(machines, () => contender.scale(wantedCount));
  } finally {
    await contender.remove();
  }
}

/** The same number of containers by `docker run` alone. */
export async function measureScaleFloor(machines: Machines): Promise<number> {
  try {
    return await untilHealthy(machines, () => runFloor(machines, addedCount));
  } finally {
    await removeFloor(machines);
  }
}

async function untilHealthy(machines: Machines, begin: () => Promise<void>): Promise<number> {
  const watch = await EventWatch.open(machines);
  try {
    const startMs = Date.now();
    const command = begin();
    const healthyMs = await watch.until(
      `${addedCount} more replicas are healthy`,
      () => watch.count('health_status: healthy', { [serviceLabel]: 'web' }) >= addedCount,
    );
    await command;
    return (healthyMs - startMs) / 1000;
  } finally {
    watch.stop();
  }
}
