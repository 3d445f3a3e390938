// Tests import the built package by its own name. It must reach them as Node loads it, not transformed, so that
// the test and its worker threads share one addon.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    // A process per file: a crash of the addon fails one file, and memory is measured alone.
    pool: 'forks',
    maxWorkers: 2,
    // A hang, not a slow host: hosts differ by a factor of two and are shared.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    server: { deps: { external: [/\/dist\//, /\/build\/Release\//, /\.node$/] } },
  },
})
