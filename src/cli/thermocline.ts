#!/usr/bin/env node
// What the package installs as `thermocline`.
//
// Loads the rest late, so that an installation without a binary for this machine is told in one line, not in a stack.

async function run(): Promise<void> {
  const { main } = await import('./main.js')
  // Not process.exit: what was written to a slow reader must still reach it.
  process.exitCode = await main(process.argv.slice(2))
}

/** The same as `reportOf`, which is among what could not be loaded. */
function describe(thrown: unknown): string {
  const { name, message, code = name } = thrown as Error & { code?: unknown }
  if (!process.argv.includes('--json')) return message
  return JSON.stringify({ code, message, retryable: false, details: {}, exitCode: 1 })
}

run().catch((error: unknown) => {
  process.stderr.write(`${describe(error)}\n`)
  process.exitCode = 1
})
