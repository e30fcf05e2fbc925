import { expect, test } from 'vitest';
import { type EvaluateComponents, Evaluator } from '../../../agent/evaluate.ts';
import { createLog } from '../../../agent/log.ts';
import type { Plan } from '../../../src/model/action.ts';
import type { View } from '../../../src/model/view.ts';

const emptyPlan: Plan = { actions: [], wakeAtMs: undefined, waiting: [] };

/** The evaluator never looks into the view, so a view with only a time will do. */
function viewAt(nowMs: number): View {
  return {
    self: 'a' as View['self'],
    cluster: 'c' as View['cluster'],
    nowMs,
    guards: [],
    machines: new Map(),
    projects: new Map(),
    containers: [],
    failures: [],
  };
}

function components(changes: Partial<EvaluateComponents>): EvaluateComponents {
  return {
    buildView: () => viewAt(Date.now()),
    parts: [],
    plan: () => emptyPlan,
    mayPlan: () => true,
    execute: () => undefined,
    now: () => Date.now(),
    log: createLog(() => undefined),
    ...changes,
  };
}

test('many events in one tick are one evaluation', async () => {
  let views = 0;
  const evaluator = new Evaluator(
    components({
      buildView: () => {
        views += 1;
        return viewAt(1);
      },
    }),
  );
  for (let i = 0; i < 100; i++) evaluator.markDirty();
  await expect.poll(() => views).toBe(1);
  evaluator.stop();
});

test('a part that throws does not stop the others, and is reported once', async () => {
  const lines: string[] = [];
  const seen: number[] = [];
  const evaluator = new Evaluator(
    components({
      parts: [
        {
          name: 'broken',
          set: () => {
            throw new Error('boom');
          },
        },
        { name: 'whole', set: (view) => void seen.push(view.nowMs) },
      ],
      log: createLog((line) => lines.push(line)),
    }),
  );
  evaluator.markDirty();
  await expect.poll(() => seen.length).toBe(1);
  evaluator.markDirty();
  await expect.poll(() => seen.length).toBe(2);
  expect(
    lines.filter((line) => line.includes('boom') && line.includes('part=broken')),
  ).toHaveLength(1);
  evaluator.stop();
});

test('nothing is planned before the engine has been read', async () => {
  let ready = false;
  let plans = 0;
  let views = 0;
  const evaluator = new Evaluator(
    components({
      buildView: () => {
        views += 1;
        return viewAt(1);
      },
      mayPlan: () => ready,
      plan: () => {
        plans += 1;
        return emptyPlan;
      },
    }),
  );
  evaluator.markDirty();
  await expect.poll(() => views).toBe(1);
  expect(plans).toBe(0);
  ready = true;
  evaluator.markDirty();
  await expect.poll(() => plans).toBe(1);
  evaluator.stop();
});

test("the plan's wake-up brings an evaluation without an event", async () => {
  let plans = 0;
  const evaluator = new Evaluator(
    components({
      plan: () => {
        plans += 1;
        return plans === 1 ? { ...emptyPlan, wakeAtMs: Date.now() + 30 } : emptyPlan;
      },
    }),
  );
  evaluator.markDirty();
  await expect.poll(() => plans).toBe(2);
  evaluator.stop();
});
