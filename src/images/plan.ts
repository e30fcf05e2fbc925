/**
 * The layer plan: from what every target has, what is to be done there, and which layers the
 * client's engine must hand out at all. Pure; the client carries it out.
 */
import type { Digest } from './digest.ts';
import { runsOn } from './platform.ts';
import type { ImageIdentity, PlanAnswer } from './protocol.ts';

export type TargetStep =
  | { readonly type: 'nothing' }
  | { readonly type: 'tag' }
  /** Layers in the order of the image. */
  | { readonly type: 'load'; readonly layers: readonly Digest[] }
  | { readonly type: 'refuse'; readonly code: 'E_IMAGE_PLATFORM'; readonly why: string };

/** What a target needs to have the image under its names. */
export function planTarget(image: ImageIdentity, answer: PlanAnswer): TargetStep {
  if (!runsOn(image.platform, answer.platform)) {
    const why = `the image is for ${image.platform}, the machine is ${answer.platform}`;
    return { type: 'refuse', code: 'E_IMAGE_PLATFORM', why };
  }
  if (answer.isComplete) return { type: answer.isTagged ? 'nothing' : 'tag' };
  const missing = image.diffIds.filter((_, index) => answer.present[index] !== true);
  return { type: 'load', layers: [...new Set(missing)] };
}

/** The layers that at least one target lacks: each is taken out of the engine once. */
export function layersToExport(steps: readonly TargetStep[]): ReadonlySet<Digest> {
  return new Set(steps.flatMap((step) => (step.type === 'load' ? step.layers : [])));
}

export interface LoadSize {
  /** Of what is sent. */
  readonly blobBytes: number;
  /** Of all layers unpacked. */
  readonly imageBytes: number;
}

/**
 * Space that a load takes at its height: the engine's copy of what was sent (the classic store
 * unpacks the whole tar first), and the unpacked layers. Compressed layers grow at most fivefold in
 * practice, and never beyond the whole image.
 */
export function spaceNeededBytes({ blobBytes, imageBytes }: LoadSize): number {
  return blobBytes + Math.max(blobBytes, Math.min(imageBytes, 5 * blobBytes));
}
