import { execFileSync } from 'node:child_process';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { builtinsByCall } from '../../../scripts/lib/builtins-by-call.ts';

/** What a bundle of this text prints. */
async function printed(text: string): Promise<unknown> {
  const { outputFiles } = await build({
    stdin: { contents: text },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    write: false,
    plugins: [builtinsByCall],
  });
  return JSON.parse(
    execFileSync(process.execPath, ['-e', outputFiles[0]?.text ?? ''], {}).toString(),
  );
}

const isLoaded = `const isLoaded = (name) => process.moduleLoadList.some((one) => one.endsWith(' ' + name));`;

test("a bundle loads Node's modules when they are used, and not what it does not use of them", async () => {
  const text = `
    import http, { createServer } from 'node:http';
    ${isLoaded}
    const before = isLoaded('http');
    const server = createServer();
    const found = [before, isLoaded('http'), isLoaded('internal/deps/undici/undici')];
    console.log(JSON.stringify([...found, server instanceof http.Server]));`;
  expect(await printed(text)).toEqual([false, true, false, true]);
});

test('a package that inherits from one may overwrite in its own object', async () => {
  const text = `
    const tls = require('tls');
    ${isLoaded}
    const before = isLoaded('tls');
    const child = Object.create(tls);
    child.connect = 'mine';
    console.log(JSON.stringify([before, child.connect, typeof tls.connect, typeof child.createServer]));`;
  expect(await printed(text)).toEqual([false, 'mine', 'function', 'function']);
});
