'use strict';
// Loads a program with the code that V8 made of it in an earlier run: parsing and compiling take
// most of the time of a short command. Node's own compile cache knows only what is compiled while a
// module loads, which is little; here the code is kept after a run, with every function that it used.
// What it must never do: fail a command because of the cache, or read one that another user may
// write, since it is code.
var fs = require('fs');
var path = require('path');
var vm = require('vm');

/** More commands than there are; beyond it the folder is emptied. */
var maxFiles = 40;

/**
 * file: the program, a script that sets module.exports; word: what is kept apart, the command.
 * Returns its exports and `keep`, to be called at the end of a run that went well.
 */
module.exports = function load(file, version, word) {
  var folder = cacheFolder();
  var stat = fs.statSync(file);
  var key = [version, process.version, process.arch, stat.size, Math.floor(stat.mtimeMs)].join('-');
  var name = word + '-' + key;
  var cached = folder && readCache(path.join(folder, name));
  // The build writes ASCII only, and one byte a character is quickest to read.
  var source = '(function(exports,require,module){' + fs.readFileSync(file, 'latin1') + '\n})';
  var script = new vm.Script(source, {
    filename: file,
    cachedData: cached || undefined,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  var loaded = { exports: {} };
  script.runInThisContext()(loaded.exports, require, loaded);
  var isKept = cached && !script.cachedDataRejected;
  return {
    exports: loaded.exports,
    keep: function () {
      if (folder && !isKept) writeCache(folder, name, key, script);
    },
  };
};

/** The user's own, by the rules of the XDG base directories; none without a home. */
function cacheFolder() {
  var home = process.env.HOME;
  var cache = process.env.XDG_CACHE_HOME || (home && path.join(home, '.cache'));
  return cache && path.isAbsolute(cache) ? path.join(cache, 'tsc-compose', 'code') : undefined;
}

function readCache(file) {
  try {
    var handle = fs.openSync(file, 'r');
    try {
      var stat = fs.fstatSync(handle);
      // Owned by another user, or open to one: sudo with a kept HOME, a shared folder.
      if (process.getuid && (stat.uid !== process.getuid() || stat.mode & 18)) return undefined;
      return fs.readFileSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  } catch {
    return undefined;
  }
}

function writeCache(folder, name, key, script) {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 448 });
    var old = fs.readdirSync(folder).filter(function (other) {
      return other.slice(-key.length) !== key;
    });
    if (old.length === 0 && fs.readdirSync(folder).length > maxFiles) old = fs.readdirSync(folder);
    old.forEach(function (other) {
      fs.rmSync(path.join(folder, other), { force: true });
    });
    var file = path.join(folder, name);
    var passing = file + '.' + process.pid;
    fs.writeFileSync(passing, script.createCachedData(), { mode: 384 });
    fs.renameSync(passing, file);
  } catch {
    // Without a cache the next run is slower, and nothing else.
  }
}
