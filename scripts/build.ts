/**
 * Builds dist/: the command (a script whose parts are evaluated when they are needed, so that `ps`
 * runs neither the loader nor react), the agent with its worker, and the library with its types.
 * What it must never do: ship dockerode's grpc, protobuf and ssh2 parts, which we do not use and
 * which cost 60 ms at every start; agent/engine-stubs.ts takes their place.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join, parse } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { builtinsByCall } from './lib/builtins-by-call.ts';
import { root, run, step } from './lib/steps.ts';

const stub = join(root, 'agent/engine-stubs.ts');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
};

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  splitting: true,
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
  logLevel: 'warning',
  sourcemap: 'linked',
  sourcesContent: false,
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"', TSC_COMPOSE_VERSION: JSON.stringify(version) },
  banner: {
    js: "import { createRequire as createRequire_ } from 'node:module'; const require = createRequire_(import.meta.url);",
  },
  external: ['react-devtools-core', 'bufferutil', 'utf-8-validate'],
  alias: {
    '@grpc/grpc-js': stub,
    '@grpc/proto-loader': stub,
    protobufjs: stub,
    ssh2: stub,
  },
};

const script: BuildOptions = {
  format: 'cjs',
  splitting: false,
  banner: {},
  minifyIdentifiers: true,
};

/**
 * What an entry loads at once, itself and what it imports statically, must not hold these packages:
 * every call pays for them.
 */
function assertIsLight(
  metafile: Metafile | undefined,
  entry: string,
  heavy: readonly string[],
): void {
  const outputs = metafile?.outputs ?? {};
  const first = Object.keys(outputs).find((file) => outputs[file]?.entryPoint === entry);
  if (first === undefined) throw new Error(`${entry} was not built`);
  const seen = new Set<string>();
  const visit = (file: string): void => {
    const output = outputs[file];
    if (output === undefined || seen.has(file)) return;
    seen.add(file);
    for (const input of Object.keys(output.inputs)) {
      const name = heavy.find((one) => input.includes(`node_modules/${one}/`));
      if (name !== undefined) throw new Error(`${entry} loads ${name} at once (${input})`);
    }
    for (const use of output.imports) if (use.kind === 'import-statement') visit(use.path);
  };
  visit(first);
}

// `--keep` leaves the chunks of earlier builds, which agents that still run may load.
if (!process.argv.includes('--keep')) rmSync(join(root, 'dist'), { recursive: true, force: true });
/** Screens are ES modules of their own: ink cannot be a part of a script. */
const screens: Readonly<Record<string, string>> = {
  'up-view': 'src/cli/up-view.tsx',
  screen: 'src/cli/status/screen.tsx',
};

const screensApart: Plugin = {
  name: 'screens-apart',
  setup: (plugin) => {
    plugin.onResolve({ filter: /\.tsx$/ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path: `./${parse(path).name}.js`, external: true } : undefined,
    );
  },
};

await step('build: command', async () => {
  const { metafile } = await build({
    ...common,
    entryPoints: { main: 'src/cli/main.ts' },
    outdir: 'dist/cli',
    plugins: [builtinsByCall],
    write: false,
  });
  const heavy = ['dockerode', 'ink', 'react', 'ajv', 'yaml', 'ws'];
  assertIsLight(metafile, 'src/cli/main.ts', heavy);
  // One script, whose compiled code can be kept (bin/cached.cjs); its parts still load late.
  await build({
    ...common,
    ...script,
    entryPoints: { main: 'src/cli/main.ts' },
    outdir: 'dist/cli',
    outExtension: { '.js': '.cjs' },
    plugins: [builtinsByCall, screensApart],
  });
  await build({ ...common, entryPoints: screens, outdir: 'dist/cli' });
});
await step('build: agent', async () => {
  const entryPoints: Record<string, string> = {
    main: 'agent/main.ts',
    'store-worker': 'agent/store-worker.ts',
  };
  await build({ ...common, entryPoints, outdir: 'dist/agent', plugins: [builtinsByCall] });
});
await step('build: library', async () => {
  const { metafile } = await build({
    ...common,
    entryPoints: { index: 'src/index.ts', compose: 'src/compose/index.ts' },
    outdir: 'dist/lib',
  });
  assertIsLight(metafile, 'src/index.ts', ['dockerode', 'ink', 'react', 'ws', 'yaml']);
  assertIsLight(metafile, 'src/compose/index.ts', ['dockerode', 'ink', 'react', 'ws']);
  await run('tsc', ['-p', 'tsconfig.build.json']);
});
