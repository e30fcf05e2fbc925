#!/usr/bin/env node
'use strict';
require('./stub.cjs')('tsc-compose', 'dist/cli/main.cjs', function (file, version) {
  var argv = process.argv.slice(2);
  var word = argv.filter(function (argument) {
    return /^[a-z]+$/.test(argument);
  })[0];
  var program = require('./cached.cjs')(file, version, word || 'help');
  return program.exports.run(argv, version).then(function (code) {
    if (code === 0) program.keep();
    return code;
  });
});
