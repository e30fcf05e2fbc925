import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/{unit,property,conformance,sim}/**/*.test.ts'],
    pool: 'threads',
    isolate: false,
    globals: false,
    testTimeout: 60_000,
  },
});
