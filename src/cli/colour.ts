/** Colours: only on a terminal, never with NO_COLOR, and as `--ansi` says. */
import type { Cli, Output } from './cli.ts';

const codes = {
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  dim: 2,
  bold: 1,
} as const;

export type Colour = keyof typeof codes;

export type Painter = (colour: Colour, text: string) => string;

/** Colours of log prefixes, as `docker compose` takes them in turn. */
export const prefixColours: readonly Colour[] = ['cyan', 'yellow', 'green', 'magenta', 'blue'];

/** @returns paints for this stream, or leaves text as it is */
export function painter(cli: Pick<Cli, 'flags' | 'io'>, output: Output): Painter {
  if (!hasColour(cli, output)) return (_colour, text) => text;
  return (colour, text) => `\u001b[${codes[colour]}m${text}\u001b[0m`;
}

/** Whether this stream is to have colours. */
export function hasColour({ flags, io }: Pick<Cli, 'flags' | 'io'>, output: Output): boolean {
  if (flags.ansi !== 'auto') return flags.ansi === 'always';
  return output.isTTY === true && !io.env.NO_COLOR && io.env.TERM !== 'dumb';
}
