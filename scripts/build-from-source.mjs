#!/usr/bin/env node
// npx thermocline-build: compiles the addon from the sources in the package, where no prebuilt binary fits.
//
//   thermocline-build [--force]
//
// Does nothing when a binary can be loaded already, unless --force. Needs a C++20 compiler, make, Python 3 and the
// headers that come with Node; downloads nothing. `CXX`, `CXXFLAGS` and `npm_config_nodedir` are heeded.

import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { formatSeconds, root, run, runAsProgram, ScriptError } from './run.mjs'
import { checkCompiler, checkNodeVersion, findNodeDirectory, findNodeGyp } from './tools.mjs'

const source = join(root, 'source')
const target = join(root, 'build', 'Release', 'thermocline.node')
const outputLinesMax = 20

/** Whether the package can be loaded by this Node; in a process of its own, because a binary cannot be unloaded. */
async function loads() {
  const program = `require(${JSON.stringify(join(root, 'dist', 'index.js'))})`
  return (await run(process.execPath, ['-e', program], { quiet: true })).code === 0
}

async function compile(folder) {
  const commands = ['configure', 'build', `--nodedir=${findNodeDirectory()}`]
  const { code, output } = await run(process.execPath, [findNodeGyp(), ...commands], {
    cwd: folder,
    // binding.gyp calls `node`, which must be this one.
    env: { PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`, GYP_DEFINES: '' },
    quiet: true,
  })
  if (code === 0) return
  process.stderr.write(`${output.trimEnd().split('\n').slice(-outputLinesMax).join('\n')}\n`)
  throw new ScriptError('thermocline does not compile here; above are the last lines of what the compiler said.')
}

// Beside the place and then renamed: a process that loads it meanwhile sees the old file or the new one.
function install(built) {
  mkdirSync(dirname(target), { recursive: true })
  const fresh = `${target}.${process.pid}`
  copyFileSync(built, fresh)
  renameSync(fresh, target)
}

async function main() {
  const [option, ...rest] = process.argv.slice(2)
  if (rest.length > 0 || (option !== undefined && option !== '--force')) {
    throw new ScriptError('usage: thermocline-build [--force]')
  }
  if (!existsSync(source)) throw new ScriptError('This is a clone, not the package: npm run build')
  if (option === undefined && (await loads())) {
    console.log(
      'thermocline: a native binary is there and can be loaded; nothing to do (--force compiles all the same)',
    )
    return
  }
  checkNodeVersion()
  checkCompiler()
  findNodeDirectory()
  const startedAt = performance.now()
  console.log('thermocline: compiles the addon, about a minute ...')
  // Not in the package's folder: make cannot do with spaces in a path.
  const folder = mkdtempSync(join(tmpdir(), 'thermocline-build-'))
  try {
    cpSync(source, folder, { recursive: true })
    await compile(folder)
    install(join(folder, 'build', 'Release', 'thermocline.node'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  if (!(await loads())) throw new ScriptError(`thermocline was compiled, but ${target} cannot be loaded.`)
  console.log(`thermocline: compiled in ${formatSeconds(performance.now() - startedAt)}`)
}

runAsProgram(import.meta.url, main)
