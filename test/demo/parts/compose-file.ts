/** The app, as its author wrote it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Show } from '../show.ts';

const lineCount = 15;

export async function composeFile({ stage, checks, folder }: Show): Promise<void> {
  stage.heading('An ordinary Compose file');
  const text = readFileSync(join(folder, 'compose.yaml'), 'utf8').trimEnd();
  // The first line is for editors.
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  stage.say('', ...lines.map((line) => `      ${line}`), '');
  checks.figure(
    `${lines.length} lines: six web servers, and a redis whose data stays`,
    lines.length === lineCount,
    `${lineCount} lines`,
  );
  await stage.pause(6_000);
}
