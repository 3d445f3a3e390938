// npm run bench [-- --quick ...]: builds what is missing, installs the peers of the comparison, runs bench/main.mjs.

import { installPeers } from './peers.mjs'
import { runAsProgram } from './run.mjs'
import { runScript, setup } from './setup.mjs'

const needsNoPeers = ['--quick', '--help']

async function main() {
  await setup()
  if (!process.argv.some((argument) => needsNoPeers.includes(argument))) await installPeers()
  process.exitCode = await runScript('bench/main.mjs', process.argv.slice(2))
}

runAsProgram(import.meta.url, main)
