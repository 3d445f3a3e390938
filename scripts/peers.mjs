// Installs the peers of the benchmark, which are in bench/package.json because some of them compile for minutes.
//
// Package by package: one that cannot be compiled here leaves the others usable, and the benchmark says of it
// "not run here". Nothing is downloaded but npm packages.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { formatSeconds, root, run } from './run.mjs'
import { installEnvironment, npmCommand } from './setup.mjs'

const folder = join(root, 'bench')
const stateFile = join(folder, '.cache', 'installed.json')

function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

function writeState(state) {
  mkdirSync(dirname(stateFile), { recursive: true })
  writeFileSync(stateFile, JSON.stringify(state))
}

/** Runs npm in bench/ with a line of progress on stderr; whether it succeeded. */
async function npm(title, commandArguments, environment = {}) {
  const startedAt = performance.now()
  process.stderr.write(`bench: ${title} ... `)
  const [command, ...first] = npmCommand()
  const { code, output } = await run(command, [...first, ...commandArguments, '--loglevel=error'], {
    cwd: folder,
    env: { ...installEnvironment(), ...environment },
    quiet: true,
  })
  const time = formatSeconds(performance.now() - startedAt)
  if (code === 0) console.error(time)
  else console.error(`failed after ${time}\n${output.trim().split('\n').slice(0, 12).join('\n')}`)
  return code === 0
}

/** Brings bench/node_modules to what its lock file says, compiled for this Node. Does only what is missing. */
export async function installPeers() {
  const lock = readFileSync(join(folder, 'package-lock.json'), 'utf8')
  const key = `${process.version} ${process.arch} ${lock}`
  const known = readJson(stateFile)
  const current = known?.key === key && existsSync(join(folder, 'node_modules'))
  const state = current ? known : { key, built: [] }
  // Not `npm ci`: it refuses a lock file that lacks binaries of other systems, which not every registry has.
  // Few retries, soon: without a network npm would say nothing for minutes.
  const patience = ['--fetch-retries=1', '--fetch-retry-mintimeout=2000']
  const install = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', ...patience]
  if (!current && !(await npm('downloads the peers', install))) {
    console.error(
      'bench: goes on with the peers that are here; without any, the figures are ours alone and nothing is judged',
    )
    return
  }
  const { allowScripts } = readJson(join(folder, 'package.json'))
  for (const name of Object.keys(allowScripts).filter((name) => !state.built.includes(name))) {
    // Tells prebuild-install not to ask a web server for a binary first.
    const fromSource = { npm_config_build_from_source: name }
    const minutes = name === 'better-sqlite3' ? ' (some minutes)' : ''
    if (await npm(`prepares ${name}${minutes}`, ['rebuild', name], minutes ? fromSource : {})) state.built.push(name)
  }
  writeState(state)
}
