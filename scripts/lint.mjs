// npm run lint: the checks of the text alone. npm run format: the same, repairing what can be repaired.

import { biome, clangFormat, layers, runChecks } from './checks.mjs'
import { runAsProgram } from './run.mjs'

async function main() {
  const fix = process.argv.includes('--fix')
  await runChecks([
    ['biome', () => biome({ fix })],
    ['clang-format', () => clangFormat({ fix })],
    ['lint-layers', layers],
  ])
}

runAsProgram(import.meta.url, main)
