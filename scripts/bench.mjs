// npm run bench [-- --quick ...]: builds what is missing, installs the peers of the comparison, runs bench/main.mjs.

import { installPeers } from './peers.mjs'
import { runAsProgram } from './run.mjs'
import { runScript, setup } from './setup.mjs'

/** Whether what is asked for compares with peers, which take minutes to install. */
export async function needsPeers(commandArguments) {
  // Here, because they import what setup() installs.
  const { readOptions, UsageError } = await import('../bench/options.mjs')
  const { isOwn } = await import('../bench/peers/index.mjs')
  try {
    const { help, options, rows } = readOptions(commandArguments)
    return !help && !options.quick && rows.some(({ subjects }) => !subjects.every(isOwn))
  } catch (error) {
    if (error instanceof UsageError) return false // bench/main.mjs tells it
    throw error
  }
}

async function main() {
  const commandArguments = process.argv.slice(2)
  await setup()
  if (await needsPeers(commandArguments)) await installPeers()
  process.exitCode = await runScript('bench/main.mjs', commandArguments)
}

runAsProgram(import.meta.url, main)
