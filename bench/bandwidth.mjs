// Memory bandwidth by a small C program, compiled for this machine when it is first asked for.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median } from './measure.mjs'

const source = fileURLToPath(new URL('./bandwidth.c', import.meta.url))
const folder = fileURLToPath(new URL('./.cache', import.meta.url))
const program = join(folder, 'bandwidth')
const passes = 20

function build() {
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return
  mkdirSync(folder, { recursive: true })
  const compiler = process.env.CC ?? 'cc'
  execFileSync(compiler, ['-O3', '-march=native', '-pthread', '-o', program, source])
}

/** { microseconds of each pass over `bytes`, gigabytesPerSecond of their median }. `threads` 0: one a core. */
export function measureBandwidth(bytes, threads = 0) {
  build()
  const count = threads === 0 ? availableParallelism() : threads
  const output = execFileSync(program, [String(bytes), String(count), String(passes)], {
    encoding: 'latin1',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  // The first pass meets a cold buffer.
  const microseconds = output.trim().split('\n').slice(1).map(Number)
  return { microseconds, gigabytesPerSecond: bytes / median(microseconds) / 1000 }
}
