// npm run demo [-- folder]: installs and builds what is missing, then runs the demo. `folder`: where the store is
// kept; by default a temporary one, removed afterwards.

import { runAsProgram } from './run.mjs'
import { runScript, setup } from './setup.mjs'

async function main() {
  await setup()
  process.exitCode = await runScript('demo/demo.mjs', process.argv.slice(2))
}

runAsProgram(import.meta.url, main)
