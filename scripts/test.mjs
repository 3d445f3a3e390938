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

// Compiles the package once more, as setup() has just done the clone: .ci/run and the nightly parts do that.
const afterwards = ['--exclude', 'test/package/source-build.test.ts']

async function main() {
  await setup()
  const given = process.argv.slice(2)
  const extra = given.length > 0 ? given : afterwards
  let packing
  await runChecks([
    ['biome', biome],
    ['clang-format', clangFormat],
    ['lint-layers', layers],
    ['types of the tests', typesOfTests],
    ['native tests', nativeTests],
    ['kill tests', killTests],
    [
      'power tests',
      () => {
        // One thread that asserts no time, so the other processor may compile.
        packing = prebuilds()
        packing.catch(() => undefined) // told where it is waited for
        return powerTests()
      },
    ],
    ['prebuilt binaries', () => packing],
    ['vitest', () => vitest({ extra })],
  ])
}

runAsProgram(import.meta.url, main)
