// The oracle's half in the parent: reads what children/oracle-log.mjs wrote.

import { existsSync, readFileSync } from 'node:fs'

export interface LoggedOperation<Intent, Outcome> {
  intent: Intent
  /** Undefined: in doubt. */
  result: Outcome | undefined
  acknowledged: boolean
}

/** The operations of one worker in order; none where it never came to its first line. */
export function readOracleLog<Intent, Outcome>(path: string): LoggedOperation<Intent, Outcome>[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  const operations: LoggedOperation<Intent, Outcome>[] = []
  // What follows the last line feed is empty, or a line that was cut.
  lines.slice(0, -1).forEach((text, at) => {
    const line = JSON.parse(text) as { n: number; intent?: Intent; result?: Outcome }
    if (line.n !== Math.floor(at / 2)) throw new Error(`the oracle's log ${path} is wrong in line ${at}`)
    if (at % 2 === 0) operations.push({ intent: line.intent as Intent, result: undefined, acknowledged: false })
    else Object.assign(operations[line.n] as object, { result: line.result, acknowledged: true })
  })
  return operations
}
