/**
 * What the user has chosen on the screen, and how each key changes it. Pure: a key that means
 * something to the program itself (leave, open logs) is told by the state that comes out.
 */
import { clamp } from './layout.ts';
import type { Pane, Row, ServiceName } from './panes.ts';

export type Key =
  | 'up'
  | 'down'
  | 'pageUp'
  | 'pageDown'
  | 'home'
  | 'end'
  | 'nextPane'
  | 'previousPane'
  | 'pane1'
  | 'pane2'
  | 'pane3'
  | 'open'
  | 'back'
  | 'help'
  | 'quit';

/** The row by its key, and by its place for when the row goes away. */
export interface Selection {
  readonly key: string;
  readonly index: number;
}

export interface LogPosition {
  readonly service: ServiceName;
  /** Number of the first line that is shown; undefined follows the end. */
  readonly top: number | undefined;
}

export interface ScreenState {
  readonly pane: number;
  readonly selections: readonly Selection[];
  readonly isHelpOpen: boolean;
  /** Undefined: the lists are shown. */
  readonly log: LogPosition | undefined;
  /** Said until the next key. */
  readonly hint: string;
  readonly isLeaving: boolean;
}

export const firstState: ScreenState = {
  pane: 1,
  selections: [],
  isHelpOpen: false,
  log: undefined,
  hint: '',
  isLeaving: false,
};

/** What is on the screen when the key comes. */
export interface KeyContext {
  readonly panes: readonly Pane[];
  /** Lines of a list or of the log that are seen at a time. */
  readonly pageHeight: number;
  /** Numbers of the first line of the log that is kept, and of the one after the last. */
  readonly log: { readonly first: number; readonly end: number };
}

export function afterKey(before: ScreenState, key: Key, context: KeyContext): ScreenState {
  const state = { ...before, hint: '' };
  if (key === 'help') return { ...state, isHelpOpen: !state.isHelpOpen };
  if (state.isHelpOpen) {
    return key === 'back' || key === 'quit' || key === 'open'
      ? { ...state, isHelpOpen: false }
      : state;
  }
  if (state.log !== undefined) return afterLogKey(state, state.log, key, context);
  switch (key) {
    case 'quit':
      return { ...state, isLeaving: true };
    case 'nextPane':
      return { ...state, pane: (state.pane + 1) % context.panes.length };
    case 'previousPane':
      return { ...state, pane: (state.pane + context.panes.length - 1) % context.panes.length };
    case 'pane1':
    case 'pane2':
    case 'pane3':
      return { ...state, pane: Number(key.slice(-1)) - 1 };
    case 'open':
      return afterOpen(state, context);
    case 'back':
      return state;
    case 'up':
    case 'down':
    case 'pageUp':
    case 'pageDown':
    case 'home':
    case 'end':
      return afterMove(state, key, context);
  }
}

/** @returns the place of the selected row; the nearest one when the row has gone, -1 without rows */
export function selectedIndex(rows: readonly Row[], selection: Selection | undefined): number {
  const index = rows.findIndex(({ key }) => key === selection?.key);
  return index >= 0 ? index : Math.min(selection?.index ?? 0, rows.length - 1);
}

type Move = 'up' | 'down' | 'pageUp' | 'pageDown' | 'home' | 'end';

/** @returns the place after the move, between 0 and `last` */
function moved(from: number, key: Move, page: number, last: number): number {
  const to = {
    up: from - 1,
    down: from + 1,
    pageUp: from - page,
    pageDown: from + page,
    home: 0,
    end: last,
  }[key];
  return clamp(to, 0, Math.max(0, last));
}

function afterMove(state: ScreenState, key: Move, context: KeyContext): ScreenState {
  const rows = context.panes[state.pane]?.rows ?? [];
  const from = selectedIndex(rows, state.selections[state.pane]);
  const index = moved(from, key, Math.max(1, context.pageHeight), rows.length - 1);
  const selection: Selection = { key: rows[index]?.key ?? '', index };
  const selections = context.panes.map((_pane, pane) =>
    pane === state.pane ? selection : (state.selections[pane] ?? { key: '', index: 0 }),
  );
  return { ...state, selections };
}

function afterOpen(state: ScreenState, context: KeyContext): ScreenState {
  const rows = context.panes[state.pane]?.rows ?? [];
  const row = rows[selectedIndex(rows, state.selections[state.pane])];
  if (row?.service === undefined) {
    return { ...state, hint: 'choose a service or a replica to see its logs (2 or 3)' };
  }
  return { ...state, log: { service: row.service, top: undefined } };
}

function afterLogKey(
  state: ScreenState,
  log: LogPosition,
  key: Exclude<Key, 'help'>,
  { pageHeight, log: { first, end } }: KeyContext,
): ScreenState {
  switch (key) {
    case 'back':
    case 'quit':
      return { ...state, log: undefined };
    case 'end':
      return { ...state, log: { ...log, top: undefined } };
    case 'up':
    case 'down':
    case 'pageUp':
    case 'pageDown':
    case 'home': {
      const last = Math.max(first, end - pageHeight);
      const from = log.top === undefined ? last : Math.max(log.top, first);
      const top = first + moved(from - first, key, pageHeight, last - first);
      // Whoever has come to the end again goes on following it.
      return { ...state, log: { ...log, top: top >= last ? undefined : top } };
    }
    case 'nextPane':
    case 'previousPane':
    case 'pane1':
    case 'pane2':
    case 'pane3':
    case 'open':
      return state;
  }
}
