#!/usr/bin/env node
// What the package installs as `thermocline`.
//
// Loads the rest late, so that an installation without a binary for this machine is told in one line, not in a stack.

async function run(): Promise<void> {
  const { main } = await import('./main.js')
  // Not process.exit: what was written to a slow reader must still reach it.
  process.exitCode = await main(process.argv.slice(2))
}

run().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
