#!/usr/bin/env node
'use strict';
require('./stub.cjs')('tsc-compose-agent', 'dist/agent/main.js', function (file, version) {
  require('module').enableCompileCache();
  return require(file).run(process.argv.slice(2), version);
});
