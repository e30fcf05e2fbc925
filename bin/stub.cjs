'use strict';
// What both programs do before anything else. It must parse on any Node from 8 on, so that an old
// one gets a sentence instead of a SyntaxError; `--version` is answered here, before the app loads.
var fs = require('fs');
var path = require('path');

/**
 * Starts a program of this package.
 * name: as the user typed it; entry: its built file; load: runs that file, gives the exit code;
 * flags: what Node is to be started with, if anything.
 */
module.exports = function start(name, entry, load, flags) {
  var found = process.versions.node;
  if (parseInt(found, 10) < 24) {
    process.stderr.write(name + ' needs Node >= 24, found v' + found + '\n');
    process.exit(1);
  }
  var version = require('../package.json').version;
  var first = process.argv[2];
  var asksVersion = first === '--version' || first === '-v';
  if (process.argv.length === 3 && asksVersion) {
    process.stdout.write(name + ' version ' + version + '\n');
    return;
  }
  var file = path.join(__dirname, '..', entry);
  if (!fs.existsSync(file)) {
    process.stderr.write(name + ' has not been built here; run: npm run build\n');
    process.exit(1);
  }
  if (flags && process.execve && !process.execArgv.includes(flags[0])) {
    // The same process once more, so that its id and who waits for it stay.
    var again = [process.execPath].concat(process.execArgv, flags, process.argv.slice(1));
    process.execve(process.execPath, again, process.env);
  }
  load(file, version).then(function (code) {
    process.exit(code);
  });
};
