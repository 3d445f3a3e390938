// The tools that compile the addon: where they are, and in plain words which one is missing.
//
// Imports only node: modules. It is in the package too, for building from its sources.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join } from 'node:path'
import { findCommand, root, run, ScriptError } from './run.mjs'

const nodeVersionMin = [20, 19]
const headers = ['include', 'node', 'node_api.h']

/** The folder whose include/node has this Node's headers. Fails with the name of the package that brings them. */
export function findNodeDirectory() {
  const beside = dirname(dirname(process.execPath))
  // npm_config_nodedir is how node-gyp is told of headers elsewhere.
  for (const directory of [process.env.npm_config_nodedir, beside]) {
    if (directory && existsSync(join(directory, ...headers))) return directory
  }
  throw new ScriptError(
    'The headers of Node are missing (include/node/node_api.h beside its bin folder): ' +
      'use an official Node distribution, which brings them, or on Debian install libnode-dev, on Alpine nodejs-dev.',
  )
}

export function checkNodeVersion() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > nodeVersionMin[0] || (major === nodeVersionMin[0] && minor >= nodeVersionMin[1])) return
  throw new ScriptError(`Node ${nodeVersionMin.join('.')} or later is needed, this is ${process.versions.node}.`)
}

/** The C++ compiler that make will use, as a path; `CXX` names another. */
export function findCompiler() {
  const chosen = process.env.CXX?.split(' ')[0]
  return findCommand(...(chosen ? [chosen] : []), 'g++', 'c++', 'clang++')
}

/** Fails with one line that names the first tool that is missing. */
export function checkCompiler() {
  if (findCompiler() === undefined) {
    throw new ScriptError('A C++20 compiler is missing: on Debian install g++, on Alpine g++, on Fedora gcc-c++.')
  }
  if (findCommand('python3', 'python') === undefined) {
    throw new ScriptError('Python 3 is missing, which node-gyp needs: on Debian, Alpine or Fedora install python3.')
  }
  if (findCommand('make') === undefined) throw new ScriptError('make is missing: install the package make.')
}

/** The program of node-gyp: ours in a clone, else the one that npm brings. */
export function findNodeGyp() {
  const program = ['node-gyp', 'bin', 'node-gyp.js']
  const npm = findCommand('npm')
  const places = [
    join(root, 'node_modules', ...program),
    process.env.npm_config_node_gyp,
    process.env.npm_execpath && join(dirname(dirname(process.env.npm_execpath)), 'node_modules', ...program),
    join(dirname(dirname(process.execPath)), 'lib', 'node_modules', 'npm', 'node_modules', ...program),
    npm && npmProgram(npm, program),
  ]
  const found = places.find((place) => place && existsSync(place))
  if (found !== undefined) return found
  throw new ScriptError('node-gyp is missing: it comes with npm; else name its node-gyp.js in npm_config_node_gyp.')
}

// npm of a distribution lies apart from Node, but it finds its own node-gyp from where it is.
function npmProgram(npm, program) {
  try {
    return createRequire(npm).resolve(program.join('/'))
  } catch {
    return undefined
  }
}

/**
 * Whether `compiler` can link its C++ library into the addon: then one binary runs on systems with an older one.
 * Where it cannot (Fedora keeps libstdc++.a in a package of its own) the addon asks for the library of this system.
 */
export async function canLinkPortably(compiler = findCompiler()) {
  process.report.excludeNetwork = true // it would look up names
  if (process.platform !== 'linux' || !process.report.getReport().header.glibcVersionRuntime) return false
  const { code, output } = await run(compiler, ['-print-file-name=libstdc++.a'], { quiet: true })
  return code === 0 && isAbsolute(output.trim())
}
