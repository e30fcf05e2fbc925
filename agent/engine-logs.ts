/**
 * Reads the engine's log and exec streams: frames of 8 bytes head (stream, length) and text, or raw
 * text when the container has a terminal. Used for the last words of a broken container.
 */
import { stripVTControlCharacters } from 'node:util';

/** 2,000 characters: one line of a stack trace or of JSON, not a whole dump. */
const maxLineLength = 2_000;

/** The text in a buffer of log frames, of both streams in order. */
export function demultiplex(buffer: Buffer): string {
  const parts: Buffer[] = [];
  let offset = 0;
  while (offset + 8 <= buffer.length) {
    const stream = buffer.readUInt8(offset);
    const isFrame = stream <= 2 && buffer.readUIntBE(offset + 1, 3) === 0;
    // A container with a terminal has no frames.
    if (!isFrame) return buffer.toString('utf8');
    const length = buffer.readUInt32BE(offset + 4);
    parts.push(buffer.subarray(offset + 8, offset + 8 + length));
    offset += 8 + length;
  }
  return offset === 0 ? buffer.toString('utf8') : Buffer.concat(parts).toString('utf8');
}

/** The last lines of a text, without control characters that would move a terminal's cursor. */
export function lastLines(text: string, count: number): readonly string[] {
  const lines = text.split('\n').map(clean);
  while (lines.at(-1) === '') lines.pop();
  return lines.slice(-count);
}

function clean(line: string): string {
  // Colours and cursor moves, then what is left of control characters but the tab.
  const text = stripVTControlCharacters(line).replace(/[^\P{Cc}\t]/gu, '');
  return text.length > maxLineLength ? `${text.slice(0, maxLineLength)}…` : text;
}
