// Compiles and runs a small C++ program against the core's headers and answers with the JSON that it prints.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const native = fileURLToPath(new URL('../../native', import.meta.url))

/**
 * @param program source of the program, which prints one JSON value
 * @param sources files of the core to compile with it, relative to `native/`
 * @param args command line of the program
 */
export function runCxx(program: string, sources: string[] = [], args: string[] = []): unknown {
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-cxx-'))
  try {
    const source = join(directory, 'program.cc')
    const binary = join(directory, 'program')
    writeFileSync(source, program)
    const flags = ['-std=c++20', '-O0', '-Wno-invalid-offsetof', '-I', native, '-o', binary]
    execFileSync(process.env.CXX ?? 'c++', [...flags, source, ...sources.map((path) => join(native, path))], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    return JSON.parse(execFileSync(binary, args, { encoding: 'utf8' }))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
