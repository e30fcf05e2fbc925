/** What `npm run fuzz` asks of a fuzz run and gets back. */

export interface FuzzOptions {
  /** Begins no case after this time. */
  readonly seconds: number;
  /** Runs no more cases than this. */
  readonly caseCount: number;
  /** The first case has this seed, each further one the next. */
  readonly seed: number;
  readonly progress: (line: string) => void;
}

export interface FuzzReport {
  readonly caseCount: number;
  /** Seeds whose case failed; each repeats its case alone. */
  readonly failedSeeds: readonly number[];
  /** What else is worth knowing, a line each. */
  readonly notes: readonly string[];
}

export type Fuzz = (options: FuzzOptions) => Promise<FuzzReport>;

/** What a file in this folder exports. */
export interface FuzzModule {
  readonly fuzz: Fuzz;
  /** How many inputs a case holds, where it is not one. */
  readonly inputsPerCase?: number;
}
