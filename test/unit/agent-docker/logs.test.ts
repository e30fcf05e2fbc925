import { expect, test } from 'vitest';
import { demultiplex, lastLines } from '../../../agent/engine-logs.ts';

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt8(stream, 0);
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

test('frames of both streams are put together in order', () => {
  const buffer = Buffer.concat([frame(1, 'one\n'), frame(2, 'zwö'), frame(1, 'lf\n')]);
  expect(demultiplex(buffer)).toBe('one\nzwölf\n');
});

test('the log of a container with a terminal has no frames', () => {
  expect(demultiplex(Buffer.from('plain text\r\n'))).toBe('plain text\r\n');
  expect(demultiplex(Buffer.from('x'))).toBe('x');
  expect(demultiplex(Buffer.alloc(0))).toBe('');
});

test('a frame that is cut off gives what is there', () => {
  expect(demultiplex(frame(1, 'whole\nhalf').subarray(0, 16))).toBe('whole\nha');
});

test('the last lines are without colours, cursor moves and empty ends', () => {
  const text = 'first\n\u001b[31mred\u001b[0m\r\n\ttabbed\u0007\n\n';
  expect(lastLines(text, 2)).toEqual(['red', '\ttabbed']);
  expect(lastLines('', 5)).toEqual([]);
  expect(lastLines('\n\n', 5)).toEqual([]);
});

test('a line without end is cut', () => {
  expect(lastLines('x'.repeat(5_000), 1)).toEqual([`${'x'.repeat(2_000)}…`]);
});
