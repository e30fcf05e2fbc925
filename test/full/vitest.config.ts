import { defineConfig } from 'vitest/config';

/** What takes too long for every change: on real engines in the lab, one file at a time. */
export default defineConfig({
  test: {
    include: ['test/full/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    globals: false,
    testTimeout: 600_000,
    hookTimeout: 300_000,
  },
});
