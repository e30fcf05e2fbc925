import { expect, test, vi } from 'vitest';
import { LocalFacts } from '../../../agent/local-facts.ts';
import { createLog } from '../../../agent/log.ts';
import type { View } from '../../../src/model/view.ts';
import { aMachine, aService, aView } from '../container/builders.ts';

/** A view whose project was taken down together with these volumes. */
function takenDown(deleteVolumes: readonly string[]): View {
  const view = aView([aService({ image: 'nginx:1' })]);
  const projects = [...view.projects].map(([name, project]) => {
    const author = { machine: aMachine().id };
    const tombstone = { removed: true, createdMs: 0, author, deleteVolumes } as const;
    return [name, { ...project, pointerHlc: 7, tombstone }] as const;
  });
  return { ...view, projects: new Map(projects) };
}

test('volumes are looked at while some are to go, and not after every action', async () => {
  let listCount = 0;
  let volumes: readonly string[] = ['shop_data'];
  let changeCount = 0;
  const facts = new LocalFacts({
    listVolumes: async () => {
      listCount += 1;
      return volumes;
    },
    inFlight: () => new Set(),
    onChange: () => {
      changeCount += 1;
    },
    now: () => 0,
    log: createLog(() => undefined, 'debug'),
  });
  facts.note(aView([aService({ image: 'nginx:1' })]));
  facts.actionEnded();
  expect(listCount).toBe(0);
  facts.note(takenDown(['shop_data']));
  await vi.waitFor(() => expect(facts.state().volumes).toEqual(new Set(['shop_data'])));
  expect(changeCount).toBe(1);
  volumes = [];
  facts.actionEnded();
  await vi.waitFor(() => expect(facts.state().volumes).toEqual(new Set()));
  expect(changeCount).toBe(2);
});
