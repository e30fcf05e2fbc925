import { defineConfig } from 'vitest/config';

/** Tests on real engines in the lab: one file at a time, since they share processors and memory. */
export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts'],
    setupFiles: ['test/e2e/set-up.ts'],
    pool: 'forks',
    fileParallelism: false,
    globals: false,
    testTimeout: 120_000,
    hookTimeout: 300_000,
  },
});
