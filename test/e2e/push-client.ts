/**
 * Runs a push inside a lab machine, where the engine's loopback is this program's own:
 * `node push-client.ts '{"socketPath": …, "images": […]}'`. Prints results, notes and time as JSON.
 */

import { type ImageToPush, pushImages } from '../../src/client/push.ts';
import { knownBlobsPath } from '../../src/client/push-known.ts';

// Written by the tests themselves.
const { socketPath, images } = JSON.parse(process.argv[2] ?? '{}') as {
  readonly socketPath: string;
  readonly images: readonly ImageToPush[];
};
const notes: string[] = [];
const startMs = performance.now();
const results = await pushImages(images, {
  socketPath,
  knownPath: knownBlobsPath(process.env),
  onEvent: (event) => {
    if (event.type === 'note') notes.push(event.text);
  },
});
const elapsedMs = performance.now() - startMs;
const rssBytes = process.resourceUsage().maxRSS * 1024;
const plain = results.map(({ error, ...rest }) => ({
  ...rest,
  ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
}));
process.stdout.write(JSON.stringify({ results: plain, notes, elapsedMs, rssBytes }));
