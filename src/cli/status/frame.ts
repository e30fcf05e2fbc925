/**
 * The screen as lines of coloured pieces: exactly as many lines as the window has, none wider. Pure,
 * so that a whole screen is a value that tests compare; screen.tsx only prints it.
 */
import { fitColumns, fitRow, truncate } from './columns.ts';
import { firstRow, shareLines, wrapped } from './layout.ts';
import type { LogBuffer } from './log-buffer.ts';
import type { StatusObject } from './objects.ts';
import { type Pane, plainText, type Row, type Tone } from './panes.ts';
import { type ScreenState, selectedIndex } from './state.ts';

export interface Piece {
  readonly text: string;
  readonly tone: Tone | 'title' | 'name';
}

export interface Line {
  readonly pieces: readonly Piece[];
  readonly isSelected: boolean;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export interface Scene {
  readonly status: StatusObject;
  readonly panes: readonly Pane[];
  readonly state: ScreenState;
  readonly log: LogBuffer;
  /** False while the agent is away. */
  readonly isConnected: boolean;
}

/** Smaller windows have no room for three lists. */
const smallest: Size = { columns: 40, rows: 14 };

/** Before the selected row: seen where there are no colours. */
const mark = '› ';
const blank = '  ';

/** The first and the last line of every screen. */
const frameLineCount = 2;

/** @returns the lines of the window */
export function frameOf(scene: Scene, size: Size): readonly Line[] {
  if (size.columns < smallest.columns || size.rows < smallest.rows) {
    const text = `at least ${smallest.columns}x${smallest.rows} is needed`;
    return filled([line(truncate(text, size.columns))], size.rows);
  }
  const height = size.rows - frameLineCount;
  const { isHelpOpen, log } = scene.state;
  const body = isHelpOpen
    ? helpLines(size.columns)
    : log !== undefined
      ? logLines(scene, { ...size, rows: height })
      : overviewLines(scene, { ...size, rows: height });
  return [headLine(scene, size.columns), ...filled(body, height), footLine(scene, size.columns)];
}

/** @returns how many lines of a list, or of the log, one page has */
export function pageHeightOf({ panes, status, state }: Scene, { columns, rows }: Size): number {
  const height = rows - frameLineCount;
  if (state.log !== undefined) return Math.max(1, height);
  const wanted = panes.map((pane) => pane.rows.length);
  const noteLineCount = noteLines(status, columns).length;
  return shareLines(height, wanted, { active: state.pane, noteLineCount }).panes[state.pane] ?? 1;
}

function line(text: string, tone: Piece['tone'] = 'plain', isSelected = false): Line {
  return { pieces: [{ text, tone }], isSelected };
}

function filled(lines: readonly Line[], height: number): readonly Line[] {
  const missing = Math.max(0, height - lines.length);
  return [...lines.slice(0, height), ...Array.from({ length: missing }, () => line(''))];
}

function headLine({ status, isConnected, state }: Scene, width: number): Line {
  const { machines, services, replicas } = status;
  const reachable = machines.filter((machine) => machine.state.startsWith('reachable')).length;
  const ready = services.filter((service) => service.state === 'ready').length;
  const place =
    state.log === undefined
      ? [
          `${reachable} of ${machines.length} machines reachable`,
          `${ready} of ${services.length} services ready`,
          `${replicas.length} containers`,
        ].join(' · ')
      : `logs of ${state.log.service.project}/${state.log.service.service}`;
  const right = isConnected ? '' : '  the agent is away';
  const left = truncate(`tsc-compose  ${place}`, width - right.length);
  const pieces: Piece[] = [
    { text: left.slice(0, 11), tone: 'title' },
    { text: left.slice(11).padEnd(width - right.length - 11), tone: 'plain' },
    { text: right, tone: 'bad' },
  ];
  return { pieces, isSelected: false };
}

function footLine({ state }: Scene, width: number): Line {
  if (state.hint !== '') return line(truncate(state.hint, width), 'busy');
  const keys = state.isHelpOpen
    ? 'Esc back'
    : state.log !== undefined
      ? `Esc back  j/k scroll  G end${state.log.top === undefined ? '  (following)' : ''}`
      : 'q quit  ? help  Tab next list  j/k move  Enter logs';
  return line(truncate(keys, width), 'dim');
}

function overviewLines({ panes, status, state }: Scene, { columns, rows }: Size): readonly Line[] {
  const wanted = panes.map((pane) => pane.rows.length);
  const notes = noteLines(status, columns);
  const shares = shareLines(rows, wanted, { active: state.pane, noteLineCount: notes.length });
  const lines = panes.flatMap((pane, index) =>
    paneLines(pane, {
      width: columns,
      height: shares.panes[index] ?? 1,
      isActive: index === state.pane,
      selected: selectedIndex(pane.rows, state.selections[index]),
    }),
  );
  if (shares.notes === 0) return lines;
  const shown = notes.slice(0, shares.notes);
  const part = `${status.notes.length}${shown.length < notes.length ? ', more than fit here' : ''}`;
  // They stand at the bottom, whatever the lists leave free.
  return [
    ...filled(lines, rows - shown.length - 1),
    titleLine('Notes', part, columns, false),
    ...shown.map((text) => line(text, 'busy')),
  ];
}

function noteLines({ notes }: StatusObject, width: number): readonly string[] {
  return notes.flatMap((note) => wrapped(plainText(note), width));
}

interface PaneSpace {
  readonly width: number;
  readonly height: number;
  readonly isActive: boolean;
  readonly selected: number;
}

function paneLines(pane: Pane, space: PaneSpace): readonly Line[] {
  const { width, height, isActive, selected } = space;
  const { rows, columns } = pane;
  const first = firstRow(rows.length, height, Math.max(0, selected));
  const shown = rows.slice(first, first + height);
  const part =
    shown.length === rows.length
      ? `${rows.length}`
      : `${first + 1}-${first + shown.length} of ${rows.length}`;
  const title = titleLine(pane.title, part, width, isActive);
  if (rows.length === 0) return [title, line(truncate(blank + pane.empty, width), 'dim')];
  const fit = fitColumns(
    columns,
    rows.map(({ cells }) => cells),
    width - mark.length,
  );
  const heads = fitRow(
    columns,
    fit,
    columns.map(({ head }) => head),
  );
  return [
    title,
    line(blank + heads.join(''), 'dim'),
    ...shown.map((row, index) =>
      rowLine(row, fitRow(columns, fit, row.cells), {
        shownColumns: fit.shown,
        width,
        isSelected: isActive && first + index === selected,
      }),
    ),
  ];
}

function rowLine(
  { tones }: Row,
  texts: readonly string[],
  look: {
    readonly shownColumns: readonly number[];
    readonly width: number;
    readonly isSelected: boolean;
  },
): Line {
  const pieces = texts.map(
    (text, position): Piece => ({
      text,
      tone: tones[look.shownColumns[position] ?? -1] ?? 'plain',
    }),
  );
  const start: Piece = { text: look.isSelected ? mark : blank, tone: 'plain' };
  if (!look.isSelected) return { pieces: [start, ...pieces], isSelected: false };
  // The bar of the selected row goes over the whole width.
  const length = texts.reduce((sum, text) => sum + text.length, mark.length);
  const rest: Piece = { text: ' '.repeat(Math.max(0, look.width - length)), tone: 'plain' };
  return { pieces: [start, ...pieces, rest], isSelected: true };
}

function titleLine(title: string, part: string, width: number, isActive: boolean): Line {
  const text = truncate(`${isActive ? '▶' : '─'} ${title} (${part}) `, width);
  const tone = isActive ? 'title' : 'plain';
  return {
    pieces: [
      { text, tone },
      { text: '─'.repeat(Math.max(0, width - text.length)), tone: 'dim' },
    ],
    isSelected: false,
  };
}

function logLines({ log, state }: Scene, { columns, rows }: Size): readonly Line[] {
  const shown = log.window(state.log?.top, rows);
  if (log.end === log.first) return [line('no output yet', 'dim')];
  const nameWidth = Math.min(24, Math.max(0, ...shown.map(({ name }) => name.length)));
  return shown.map(({ name, text }) => {
    const prefix = `${truncate(name, nameWidth, 'middle').padEnd(nameWidth)} │ `;
    return {
      pieces: [
        { text: prefix, tone: 'name' },
        { text: truncate(text, columns - prefix.length), tone: 'plain' },
      ],
      isSelected: false,
    };
  });
}

function helpLines(width: number): readonly Line[] {
  const keys = [
    ['Tab, Shift-Tab', 'next list, list before'],
    ['1 2 3', 'machines, services, replicas'],
    ['j k, arrows', 'move down and up'],
    ['PgUp PgDn', 'move by a page'],
    ['g G, Home End', 'to the first row, to the last one'],
    ['Enter, l', 'logs of the service; Esc or q goes back'],
    ['?', 'this help'],
    ['q, Ctrl-C', 'quit'],
  ];
  const words = [
    ['READY', 'replicas of the current definition that are ready, and how many are wanted'],
    ['VERSION', 'hash of the definition; old: about to be replaced, surplus: about to go'],
    ['HEALTH', 'of the health check; without one, ready once its ports accept connections'],
    ['MACHINE *', 'the machine whose agent answers here'],
  ];
  const row = ([name = '', text = '']: readonly string[]): Line => ({
    pieces: [
      { text: truncate(`  ${name}`, 18).padEnd(18), tone: 'name' },
      { text: truncate(text, width - 18), tone: 'plain' },
    ],
    isSelected: false,
  });
  return [
    line('Keys', 'title'),
    ...keys.map(row),
    line(''),
    line('Words', 'title'),
    ...words.map(row),
  ];
}
