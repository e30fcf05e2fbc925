#!/usr/bin/env node
'use strict';
require('./stub.cjs')('tsc-compose-agent', 'dist/agent/main.js', require('./agent-flags.cjs'));
