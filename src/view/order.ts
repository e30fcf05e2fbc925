/**
 * The orders in which a view is iterated. They depend on nothing but the values, so every machine
 * lists the same things in the same order; locale rules would differ between machines.
 */

/** By code units: the same answer everywhere. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Numbered slots by number, before slots of global services, which are ordered as text. */
export function compareSlots(left: string, right: string): number {
  const leftNumber = slotNumber(left);
  const rightNumber = slotNumber(right);
  if (leftNumber !== undefined && rightNumber !== undefined) return leftNumber - rightNumber;
  if (leftNumber !== undefined) return -1;
  if (rightNumber !== undefined) return 1;
  return compareText(left, right);
}

/** The number of a replicated service's slot; undefined for a slot named after a machine. */
export function slotNumber(slot: string): number | undefined {
  return /^[1-9]\d{0,8}$/.test(slot) ? Number(slot) : undefined;
}

/** A copy of a record whose keys stand in order. */
export function sortedEntries<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([left], [right]) => compareText(left, right));
}
