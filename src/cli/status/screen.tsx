/**
 * The full screen of `status`. It only joins the parts: snapshots come from source.ts, keys change
 * state.ts, and frame.ts says what every line of the window shows.
 */
import { Box, render, Text, useInput, useWindowSize } from 'ink';
import type { ReactElement } from 'react';
import { useEffect, useReducer, useRef } from 'react';
import { frameOf, type Line, type Piece, pageHeightOf, type Scene } from './frame.ts';
import { keysOf } from './keys.ts';
import { statusObject } from './objects.ts';
import { panesOf } from './panes.ts';
import type { StatusSource } from './source.ts';
import { afterKey, firstState, type ScreenState } from './state.ts';

export interface Terminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
}

export interface ScreenOptions {
  readonly hasColour: boolean;
  /** Called once, when the user leaves. */
  readonly onLeave: (isInterrupted: boolean) => void;
}

export interface Screen {
  /** Gives the terminal back as it was. */
  readonly close: () => Promise<void>;
  /** Rejects when the screen itself breaks. */
  readonly closed: Promise<unknown>;
}

/** 1 s: "up 5s" is the only thing that changes by itself. */
const tickMs = 1_000;

/** Takes the terminal over until `close`. */
export function openScreen(
  source: StatusSource,
  { stdin, stdout }: Terminal,
  options: ScreenOptions,
): Screen {
  const screen = render(<StatusScreen source={source} {...options} />, {
    stdin,
    stdout,
    alternateScreen: true,
    // Asked for by whoever starts it; an environment that looks like CI does not change that.
    interactive: true,
    exitOnCtrlC: false,
    patchConsole: false,
    incrementalRendering: true,
  });
  const closed = screen.waitUntilExit();
  return {
    closed,
    close: async () => {
      screen.unmount();
      await closed;
    },
  };
}

interface StatusScreenProps extends ScreenOptions {
  readonly source: StatusSource;
}

function StatusScreen({ source, hasColour, onLeave }: StatusScreenProps): ReactElement {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const stateRef = useRef<ScreenState>(firstState);
  const size = useWindowSize();

  useEffect(() => {
    const unsubscribe = source.subscribe(redraw);
    const timer = setInterval(redraw, tickMs);
    return () => {
      unsubscribe();
      clearInterval(timer);
    };
  }, [source]);

  const sceneOf = (state: ScreenState): Scene => {
    const { snapshot, log, isConnected } = source;
    const status = statusObject(snapshot);
    return { status, panes: panesOf(status, snapshot.nowMs), state, log, isConnected };
  };

  useInput((input, press) => {
    for (const key of keysOf(input, press)) {
      if (key === 'interrupt') {
        onLeave(true);
        return;
      }
      const before = stateRef.current;
      const scene = sceneOf(before);
      const after = afterKey(before, key, {
        panes: scene.panes,
        pageHeight: pageHeightOf(scene, size),
        log: scene.log,
      });
      stateRef.current = after;
      if (after.log?.service !== before.log?.service) source.openLog(after.log?.service);
      if (after.isLeaving) {
        onLeave(false);
        return;
      }
    }
    redraw();
  });

  return (
    <Box flexDirection="column" width={size.columns} height={size.rows} overflow="hidden">
      {frameOf(sceneOf(stateRef.current), size).map((line, index) => (
        <ScreenLine key={index} line={line} hasColour={hasColour} />
      ))}
    </Box>
  );
}

interface ScreenLineProps {
  readonly line: Line;
  readonly hasColour: boolean;
}

function ScreenLine({ line, hasColour }: ScreenLineProps): ReactElement {
  return (
    <Box height={1} flexShrink={0}>
      <Text wrap="truncate-end" inverse={line.isSelected}>
        {line.pieces.map((piece, index) => (
          <Text key={index} {...styleOf(piece, hasColour && !line.isSelected)}>
            {piece.text}
          </Text>
        ))}
      </Text>
    </Box>
  );
}

const colours = {
  good: 'green',
  bad: 'red',
  busy: 'yellow',
  name: 'cyan',
} as const satisfies Partial<Record<Piece['tone'], string>>;

function styleOf({ tone }: Piece, hasColour: boolean) {
  if (tone === 'title') return { bold: true };
  if (tone === 'plain') return {};
  if (tone === 'dim') return { dimColor: true };
  return hasColour ? { color: colours[tone] } : {};
}
