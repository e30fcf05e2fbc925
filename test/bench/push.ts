/**
 * A push of a changed last layer of 1 MB in an image of 100 MB, beside what people do without a
 * registry: `docker save | docker load`. Same engines, same moment, one target.
 */

import { type EngineKind, PushLab, twoVersions } from '../e2e/push-lab.ts';
import { loadImages } from '../lab/images.ts';
import { type Bench, type Figure, figure, median } from './figure.ts';

const runCount = 3;
const baseBytes = 99_000_000;

export const bench: Bench = async (progress) => {
  const figures: Figure[] = [];
  for (const from of ['classic', 'containerd'] as const) {
    figures.push(...(await measure(from, progress)));
  }
  return figures;
};

async function measure(
  from: EngineKind,
  progress: (line: string) => void,
): Promise<readonly Figure[]> {
  const to = from === 'classic' ? 'containerd' : 'classic';
  const lab = await PushLab.create([from, to]);
  try {
    const way = `${from} to ${to}`;
    const { v1, v2 } = await twoVersions('bench', baseBytes);
    await loadImages(lab.machine(from), [v1, v2]);
    progress(`${way}: first push, of everything`);
    const first = await lab.push(from, v1.name, [to]);
    const pushMs: number[] = [];
    const noopMs: number[] = [];
    const pipeMs: number[] = [];
    let sentBytes = 0;
    for (let run = 1; run <= runCount; run++) {
      progress(`${way}: run ${run} of ${runCount}`);
      const changed = await lab.push(from, v2.name, [to]);
      sentBytes = changed.results[0]?.sentBytes ?? Number.NaN;
      pushMs.push(changed.elapsedMs);
      noopMs.push((await lab.push(from, v2.name, [to])).elapsedMs);
      await forget(lab, to, v2.name);
      pipeMs.push(await saveAndLoad(lab, { from, to, reference: v2.name }));
      await forget(lab, to, v2.name);
    }
    const peer = { name: 'save | load', value: median(pipeMs) };
    return [
      figure(`${way}: bytes for 1 MB changed`, sentBytes, 'bytes', { goal: 1_200_000 }),
      figure(`${way}: time for 1 MB changed`, median(pushMs), 'ms', { peer, goal: 0.7 }),
      figure(`${way}: nothing changed`, median(noopMs), 'ms', { peer, goal: 0.3 }),
      figure(`${way}: memory of the command at 100 MB`, first.rssBytes / 1e6, 'MB', { goal: 260 }),
    ];
  } finally {
    await lab.destroy();
  }
}

/** Takes the second version away again; the first keeps the layers. */
async function forget(lab: PushLab, kind: EngineKind, reference: string): Promise<void> {
  await lab.machine(kind).execOk(['docker', 'image', 'rm', reference]);
}

async function saveAndLoad(
  lab: PushLab,
  { from, to, reference }: { from: EngineKind; to: EngineKind; reference: string },
): Promise<number> {
  const startMs = performance.now();
  const archive = await lab.machine(from).docker().getImage(reference).get();
  const answer = await lab.machine(to).docker().loadImage(archive, { quiet: true });
  for await (const _ of answer) continue;
  return performance.now() - startMs;
}
