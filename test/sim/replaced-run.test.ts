/**
 * A container that was ordered, and is not wanted any more when its engine answers at last. Found by
 * a seed: a machine hung while its project was taken down with its volumes and brought up without
 * the service; then it made the volume all the same, which the next change knew nothing of.
 */
import { expect, test } from 'vitest';
import { encodeJson } from '../../src/gossip/node.ts';
import type { Project } from '../../src/model/project.ts';
import { recordKey } from '../../src/model/record.ts';
import { acceptDown, acceptUp } from '../../src/plan/accept.ts';
import { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { projectName } from './projects.ts';
import { upRequest } from './work.ts';

const web = { image: 'web:1' };
const db = {
  image: 'db:1',
  volumes: [{ type: 'volume', source: 'data', target: '/data' }],
};

function partsOf({ agent, node }: SimMachine) {
  const view = agent?.view();
  if (view === undefined || node === undefined) throw new Error('no agent runs');
  return { view, node };
}

/** @returns the homes of volumes that the change gave */
function up(machine: SimMachine, services: Project['services']) {
  const { view, node } = partsOf(machine);
  const request = upRequest({ name: projectName, services, volumes: { data: {} } });
  let count = 0;
  const newId = (): string => `r${Math.floor(machine.now())}x${count++}`;
  const facts = { self: machine.machine, nowMs: machine.now(), images: {}, newId };
  const { revision, pointer } = acceptUp(view, request, facts);
  node.write(recordKey.revision(projectName, revision.hash), encodeJson(revision.record));
  node.write(recordKey.pointer(projectName), encodeJson(pointer));
  return pointer.volumes;
}

function downWithVolumes(machine: SimMachine): void {
  const { view, node } = partsOf(machine);
  const facts = { self: machine.machine, nowMs: machine.now() };
  const { tombstone } = acceptDown(view, projectName, { volumes: true }, facts);
  node.write(recordKey.pointer(projectName), encodeJson(tombstone));
}

test('a machine that hung makes no volume of what was taken down meanwhile', () => {
  const cluster = new SimCluster(5, { hasAgents: true });
  const { world, machines } = cluster;
  cluster.form(3);
  world.runUntil(8000);
  const [author] = machines;
  if (author === undefined) throw new Error('no machine');
  for (const { engine } of machines) engine.trouble.isHung = true;
  const home = cluster.find(up(author, { web, db })['shop_data'] ?? author.machine);
  world.runUntil(world.nowMs + 2000);
  // It was ordered, and waits for its engine: a plan that had not begun would prove nothing.
  expect(home?.engine.containers.size).toBe(0);
  downWithVolumes(author);
  world.runUntil(world.nowMs + 1000);
  up(author, { web });
  world.runUntil(world.nowMs + 1000);
  for (const { engine } of machines) engine.heal();
  world.runUntil(world.nowMs + 10_000);
  const made = machines.flatMap(({ engine }) => [...engine.containers.values()]);
  expect(made.map(({ service }) => service)).toEqual(['web']);
  expect(machines.flatMap(({ engine }) => [...engine.volumes.keys()])).toEqual([]);
});
