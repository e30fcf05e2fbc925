/** Small entries of tars. Entries with content from files are written as streams by who has them. */
import type { Pack } from 'tar-stream';

/**
 * Writes an entry of text or bytes, and waits until it is on its way. A tar that is destroyed
 * meanwhile rejects here, where tar-stream alone would emit an error that nobody hears.
 */
export function writeEntry(tar: Pack, name: string, content: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    // No time and no owner: the same content makes the same archive.
    const header = { name, mtime: new Date(0), mode: 0o644 };
    const sink = tar.entry(header, content, (error) => {
      if (error) reject(error);
      else resolve();
    });
    sink.on('error', reject);
  });
}
