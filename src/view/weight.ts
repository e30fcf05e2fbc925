/**
 * How much a machine carries beside the others. Weights only balance; they admit and refuse nothing
 * (reservations do). A machine's own figures are taken in powers of two, because two machines of one
 * kind report slightly different memory, and such a difference must not decide anything.
 */

/** Agents from this plan version on know weights. */
export const weightPlanVersion = 4;

/** 2 GiB for each CPU: at this ratio both count the same. */
const memoryBytesPerCpu = 2 * 1024 ** 3;

/**
 * @returns the weight of a machine of this size: 1 for 1 CPU and 2 GiB, doubling with both; the
 * mean of the two where they disagree
 */
export function weightOf(cpuCount: number, memoryBytes: number): number {
  const size = Math.sqrt(Math.max(1, cpuCount) * Math.max(1, memoryBytes / memoryBytesPerCpu));
  return 2 ** Math.max(0, Math.round(Math.log2(size)));
}
