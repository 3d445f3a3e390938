// npm run demo [-- tiers] [-- folder]: installs and builds what is missing, then runs the demo. `folder`: where the store is
// kept; by default a temporary one, removed afterwards.

import { runAsProgram } from './run.mjs'
import { runScript, setup } from './setup.mjs'

async function main() {
  await setup()
  const [first, ...rest] = process.argv.slice(2)
  const isTiers = first === 'tiers'
  process.exitCode = await runScript(
    isTiers ? 'demo/tiers.mjs' : 'demo/demo.mjs',
    isTiers ? rest : process.argv.slice(2),
  )
}

runAsProgram(import.meta.url, main)
