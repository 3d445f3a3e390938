// Child processes that use the package, and what Linux says of a process.

import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The repository: in it `thermocline` resolves to the built package, by import and by require. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Runs a program as an ES module with `open` imported and its arguments in `args`; waits for its end.
 * `prefix`: a command that starts Node, such as prlimit with its options.
 */
export function runProgram(program: string, args: string[] = [], prefix: string[] = []): SpawnSyncReturns<string> {
  const source = `import { open } from 'thermocline'\nconst args = process.argv.slice(1)\n${program}`
  const [command = process.execPath, ...rest] = [...prefix, process.execPath]
  return spawnSync(command, [...rest, '--expose-gc', '--input-type=module', '-e', source, ...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  })
}

/** Exit code, signal and what it said on stderr, to compare in one go. */
export function outcomeOf({ status, signal, stderr }: SpawnSyncReturns<string>): object {
  return status === 0 && signal === null ? { status, signal } : { status, signal, stderr }
}

/** Lines of this process's memory map that name a file below a directory. */
export function mappingsOf(directory: string): string[] {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes(directory))
}

/** Open descriptors of this process. */
export function descriptorCount(): number {
  return readdirSync('/proc/self/fd').length
}
