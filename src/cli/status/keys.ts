/** Which key means what on the screen. Pure; the terminal's own codes are ink's business. */
import type { Key } from './state.ts';

/** What ink says of a key, as far as it matters here. */
export interface KeyPress {
  readonly upArrow: boolean;
  readonly downArrow: boolean;
  readonly pageUp: boolean;
  readonly pageDown: boolean;
  readonly home: boolean;
  readonly end: boolean;
  readonly return: boolean;
  readonly escape: boolean;
  readonly tab: boolean;
  readonly shift: boolean;
  readonly ctrl: boolean;
}

const letters: Readonly<Record<string, Key | 'interrupt'>> = {
  '\t': 'nextPane',
  '\r': 'open',
  '\u0003': 'interrupt',
  k: 'up',
  j: 'down',
  g: 'home',
  G: 'end',
  l: 'open',
  q: 'quit',
  '?': 'help',
  '1': 'pane1',
  '2': 'pane2',
  '3': 'pane3',
};

/** @returns the keys in order: a fast hand, or a slow line, brings several at a time */
export function keysOf(input: string, press: KeyPress): readonly (Key | 'interrupt')[] {
  if (press.ctrl) {
    const key = { c: 'interrupt', f: 'pageDown', b: 'pageUp' } as const;
    return input === 'c' || input === 'f' || input === 'b' ? [key[input]] : [];
  }
  if (press.tab) return [press.shift ? 'previousPane' : 'nextPane'];
  const named = (
    [
      ['upArrow', 'up'],
      ['downArrow', 'down'],
      ['pageUp', 'pageUp'],
      ['pageDown', 'pageDown'],
      ['home', 'home'],
      ['end', 'end'],
      ['return', 'open'],
      ['escape', 'back'],
    ] as const
  ).find(([name]) => press[name]);
  if (named !== undefined) return [named[1]];
  return input.split('').flatMap((letter) => letters[letter] ?? []);
}
