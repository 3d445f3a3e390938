// npm test [-- arguments for vitest]: installs and builds what is missing, then every check, then the counts.
//
// Needs Node, a C++ compiler, Python and make; a check that needs more says `not run here: <name>`.

import {
  biome,
  clangFormat,
  killTests,
  layers,
  nativeTests,
  powerTests,
  prebuilds,
  runChecks,
  typesOfTests,
  vitest,
} from './checks.mjs'
import { runAsProgram } from './run.mjs'
import { setup } from './setup.mjs'

async function main() {
  await setup()
  const extra = process.argv.slice(2)
  await runChecks([
    ['biome', biome],
    ['clang-format', clangFormat],
    ['lint-layers', layers],
    ['types of the tests', typesOfTests],
    ['native tests', nativeTests],
    ['kill tests', killTests],
    ['power tests', powerTests],
    ['prebuilt binaries', prebuilds],
    ['vitest', () => vitest({ extra })],
  ])
}

runAsProgram(import.meta.url, main)
