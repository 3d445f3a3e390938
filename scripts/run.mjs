// What the scripts share: the repository's folder, child processes, searching for commands and files.
//
// Imports only node: modules, because scripts run before anything is installed.

import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** A failure with a message for people; scripts print it without a stack. */
export class ScriptError extends Error {}

/** The full path of the first of `names` that PATH has, or undefined. */
export function findCommand(...names) {
  for (const name of names) {
    for (const folder of name.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter)) {
      const path = folder === '' ? name : join(folder, name)
      try {
        accessSync(path, constants.X_OK)
        if (statSync(path).isFile()) return path
      } catch {
        // not here
      }
    }
  }
  return undefined
}

/**
 * Runs a command in the repository's folder. Options: `cwd`, `env` (added to this process's), `capture` (keep the
 * output instead of only passing it on), `quiet` (do not pass it on). Resolves with { code, output }.
 */
export function run(command, commandArguments, { cwd = root, env = {}, capture = false, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const piped = capture || quiet
    const child = spawn(command, commandArguments, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', piped ? 'pipe' : 'inherit', piped ? 'pipe' : 'inherit'],
    })
    const chunks = []
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        chunks.push(chunk)
        if (!quiet) process.stdout.write(chunk)
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({ code: code ?? (signal === null ? 1 : 128), output: Buffer.concat(chunks).toString('utf8') })
    })
  })
}

/** As `run` with `quiet`; a failure prints what the command said, to stderr, and throws a ScriptError. */
export async function runOrFail(title, command, commandArguments, options = {}) {
  const { code, output } = await run(command, commandArguments, { quiet: true, ...options })
  if (code === 0) return output
  process.stderr.write(output)
  throw new ScriptError(`${title} failed (exit ${code})`)
}

/** Files below `folder` (absolute) for which `accept(name)` holds, without node_modules. Sorted. */
export function listFiles(folder, accept = () => true) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : listFiles(path, accept)
      return accept(entry.name) ? [path] : []
    })
    .sort()
}

/** Modification time in ms, 0 when the file is absent. */
export function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

export function formatSeconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`
}

/** Calls `main` when the module at `url` is the program that runs; a ScriptError becomes one line and exit 1. */
export function runAsProgram(url, main) {
  if (process.argv[1] === undefined || fileURLToPath(url) !== findMainFile()) return
  main().catch((error) => {
    console.error(error instanceof ScriptError ? error.message : error)
    process.exitCode = 1
  })
}

// The real path, because a command of a package is started by a link to it.
function findMainFile() {
  const path = process.argv[1]
  return realpathSync(existsSync(path) ? path : `${path}.mjs`)
}
