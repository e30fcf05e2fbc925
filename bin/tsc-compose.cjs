#!/usr/bin/env node
'use strict';
require('./stub.cjs')('tsc-compose', 'dist/cli/main.js');
