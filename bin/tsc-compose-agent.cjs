#!/usr/bin/env node
'use strict';
function load(file, version) {
  require('module').enableCompileCache();
  return require(file).run(process.argv.slice(2), version);
}

require('./stub.cjs')(
  'tsc-compose-agent',
  'dist/agent/main.js',
  load,
  require('./agent-flags.cjs'),
);
