/** Colours of the demo: one per replica, so that an eye sees who answers; red is for failures only. */

export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  /** The colour of a replica, by its number from 1. */
  readonly replica: (number: number, text: string) => string;
}

const wrap =
  (code: string) =>
  (text: string): string =>
    `\u001B[${code}m${text}\u001B[0m`;

/** Green, yellow, blue, magenta, cyan, orange: readable on light and dark. */
const replicaCodes = ['32', '33', '34', '35', '36', '38;5;208'] as const;

export const colours: Paint = {
  bold: wrap('1'),
  dim: wrap('2'),
  good: wrap('32'),
  bad: wrap('31;1'),
  replica: (number, text) => wrap(replicaCodes[(number - 1) % replicaCodes.length] ?? '39')(text),
};

const asIs = (text: string): string => text;

export const plain: Paint = {
  bold: asIs,
  dim: asIs,
  good: asIs,
  bad: asIs,
  replica: (_number, text) => text,
};
