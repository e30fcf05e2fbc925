'use strict';
// How Node is started for a process that idles for months beside other people's containers: young
// objects get one megabyte and not sixteen, and only what is called tens of thousands of times is
// worth the memory of the optimizing compilers. Together 9 MB of 88 (the gossip alone). Without its
// snapshot Node sets up what is needed of its own parts, not all of them from an image: 7 MB of 79,
// for 0.05 s more at the start.
module.exports = [
  '--no-node-snapshot',
  '--max-semi-space-size=1',
  // Defaults: 400 and 3000 calls.
  '--invocation-count-for-maglev=60000',
  '--invocation-count-for-turbofan=300000',
  // What is called fewer than 60 times needs no notes for a compiler; default: 8.
  '--invocation-count-for-feedback-allocation=60',
];
