/**
 * Node's own modules in what we build. An `import` of one reads every export of it, and with
 * node:http that loads all of fetch, with node:util the code for terminals: 45 ms before a command
 * does anything, 10 MB in an agent that never fetches. Here a module is asked for when something of
 * it is used, and nothing else of it is read. Must not change what a module gives: of what packages
 * `require`, only modules that are plain objects and that ours hardly ever need come this way.
 */
import type { Plugin } from 'esbuild';

/** Ours have full names; of packages' `ws` asks for TLS (5 MB) and deflate, and uses neither here. */
const handled = /^(node:.*|https|tls|zlib)$/;

/** docker-modem overwrites functions in objects that inherit from a module. */
const own =
  'function own(at, name, value) { Object.defineProperty(at, name, { value, writable: true, enumerable: true, configurable: true }); }';

export const builtinsByCall: Plugin = {
  name: 'builtins-by-call',
  setup: (plugin) => {
    plugin.onResolve({ filter: handled }, ({ path }) => ({ path, namespace: 'builtin' }));
    plugin.onLoad({ filter: /./, namespace: 'builtin' }, async ({ path }) => {
      const call = `loaded ??= process.getBuiltinModule(${JSON.stringify(path)})`;
      const isOurs = path.startsWith('node:');
      const names = Object.keys((await import(path)) as object).filter((key) => key !== 'default');
      const accessors = names.map((name) => {
        const getter = `get ${name}() { return (${call}).${name}; }`;
        return isOurs ? getter : `${getter}, set ${name}(value) { own(this, '${name}', value); }`;
      });
      const contents = `let loaded; module.exports = { ${accessors.join(', ')} };`;
      return { contents: isOurs ? contents : `${own} ${contents}` };
    });
  },
};
