/** Where end-to-end tests put their files: in the run's own folder, which goes with it. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Environment variable with the folder of the run (scripts/test.ts). */
export const testFolderVariable = 'TSC_COMPOSE_TEST_DIR';

/** The run's folder is named after this and its pid. */
export const runFolderPrefix = 'tsc-compose-test-';

/** Makes a folder with a name of its own that begins with `prefix`. */
export function testFolder(prefix: string): string {
  return mkdtempSync(join(process.env[testFolderVariable] ?? tmpdir(), prefix));
}
