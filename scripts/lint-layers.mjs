// Proves the import order of the layers on both sides of the binding, and a few rules that no compiler checks.
//
//   node scripts/lint-layers.mjs [--self-test]
//
// Imports only node: modules. Reports every breach as `file:line: what`. The self-test plants one breach of each rule
// in memory and fails unless it is found at its line. Not here: formatting and lint of statements (biome, clang-format).

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { root, runAsProgram, ScriptError } from './run.mjs'

const coreLayers = ['base', 'format', 'io', 'kernels', 'filter', 'store', 'search']
const sourceLayers = ['contracts', 'warm', 'tiers', 'history', 'sync', 'integrations', 'index', 'cli']
const contractFiles = new Set([
  'errors',
  'types',
  'filter-types',
  'values',
  'filter',
  'options',
  'binary',
  'native',
  'store',
])

const systemHeader =
  /^(?:sys|linux|asm|arpa|netinet|net|mach)\/|^(?:fcntl|unistd|pthread|dirent|sched|poll|signal|syscall|dlfcn|mntent|pwd|grp|spawn|termios|windows)\.h$/
const nodeHeader = /^(?:napi|napi-inl|node_api|node_api_types|js_native_api|js_native_api_types|node|v8|uv)\.h$/

const linesMax = 450
const columnsMax = 200 // formatters hold code to 120; this bounds what they leave alone

/** Layer of a core header path such as `core/io/file.h`, or undefined. */
function coreLayerOf(path) {
  return /^core\/([^/]+)\//.exec(path)?.[1]
}

function checkInclude(file, header) {
  const [, part, layer] = file.split('/') // native/<part>/<layer>/...
  const testParts = ['kill', 'power', 'fuzz'] // tests with helpers in files of their own
  const isTest = testParts.includes(part) || /_(?:test|fuzz)\.cc$/.test(file)
  const target = coreLayerOf(header)
  if (target !== undefined && !coreLayers.includes(target)) return `no such layer: ${target}`
  if (part === 'core' && target !== undefined && coreLayers.indexOf(target) > coreLayers.indexOf(layer)) {
    return `${layer} must not include ${target}`
  }
  // A fixture serves the tests of one layer, so it knows that layer; the harness serves all.
  const isFixture = part === 'test' && file.endsWith('_fixture.h')
  if (part === 'test' && !isFixture && target !== undefined && target !== 'base') {
    return `the test harness must not include ${target}`
  }
  if (header.startsWith('binding/') && !['binding', 'fuzz'].includes(part))
    return `${part} must not include the binding`
  if (header.startsWith('test/') && part !== 'test' && !isTest) return 'only tests include the test harness'
  if (systemHeader.test(header) && !isTest && !(part === 'core' && layer === 'io')) {
    return `only core/io includes headers of the operating system: ${header}`
  }
  if (nodeHeader.test(header) && part !== 'binding') return `only the binding includes headers of Node: ${header}`
  if (header.startsWith('simsimd/') && !(part === 'core' && layer === 'kernels')) return 'only kernels include simsimd'
  return undefined
}

function checkNative({ path, lines }) {
  const [, part, layer] = path.split('/')
  const breaches = []
  if (part === 'core' && !coreLayers.includes(layer)) breaches.push({ line: 1, text: `no such layer: ${layer}` })
  lines.forEach((text, index) => {
    const include = /^\s*#\s*include\s*[<"]([^>"]+)[>"]/.exec(text)
    if (include === null) return
    const breach = checkInclude(path, include[1])
    if (breach !== undefined) breaches.push({ line: index + 1, text: breach })
  })
  return breaches
}

/** Layer of a module path relative to src/, such as `warm/vector` or `errors`. */
function sourceLayerOf(module) {
  const [first, ...rest] = module.split('/')
  if (rest.length > 0) return first
  return contractFiles.has(first) ? 'contracts' : first
}

function checkSource({ path, lines }) {
  const own = path.slice('src/'.length).replace(/\.ts$/, '')
  const ownLayer = sourceLayerOf(own)
  if (!sourceLayers.includes(ownLayer)) return [{ line: 1, text: `no such layer: ${ownLayer}` }]
  const breaches = []
  lines.forEach((text, index) => {
    if (/^\s*\*/.test(text)) return // an example in a comment is a user's program
    for (const [, specifier] of text.matchAll(/(?:\bfrom|\bimport|\brequire|\bimport\()\s*\(?\s*'([^']+)'/g)) {
      if (/^thermocline(\/|$)/.test(specifier)) {
        breaches.push({ line: index + 1, text: 'src imports itself by relative paths' })
      }
      if (!specifier.startsWith('.')) continue
      const target = posix.join(posix.dirname(own), specifier).replace(/\.(?:js|ts)$/, '')
      if (target.startsWith('..')) continue // package.json and the like
      // `./warm` and `./warm/index` are the same module; a folder of that name tells them from a root file.
      const targetLayer = sourceLayerOf(target === '.' ? 'index' : target)
      const rank = sourceLayers.indexOf(targetLayer)
      if (rank < 0) breaches.push({ line: index + 1, text: `no such layer: ${targetLayer}` })
      else if (rank > sourceLayers.indexOf(ownLayer)) {
        breaches.push({ line: index + 1, text: `${ownLayer} must not import ${targetLayer}` })
      }
    }
  })
  return breaches
}

function checkSize({ lines }) {
  const breaches = []
  const header = lines.slice(0, 20).join(' ')
  if (lines.length > linesMax && !header.includes('in one file')) {
    const text = `${lines.length} lines: beyond ${linesMax} the header says why all this is "in one file"`
    breaches.push({ line: 1, text })
  }
  lines.forEach((text, index) => {
    if (text.length > columnsMax)
      breaches.push({ line: index + 1, text: `${text.length} columns, at most ${columnsMax}` })
  })
  return breaches
}

// Absolute paths of the machine at hand are known at run time, so none need be named here.
function machinePaths() {
  const places = [root, homedir(), dirname(root)].filter((path) => path.length > 1 && path !== '/tmp')
  return [...new Set(places)].map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
}

function createMachineCheck(paths = machinePaths()) {
  const absolute = new RegExp(`(?<![\\w.~/-])(?:${paths.join('|')})(?![\\w.-])`)
  const ofSomebody = /(?<![\w.~/-])\/(?:home|Users)\/\w+/
  return ({ path, lines }) => {
    const breaches = []
    lines.forEach((text, index) => {
      if (absolute.test(text) || ofSomebody.test(text))
        breaches.push({ line: index + 1, text: 'a path of one machine' })
      if (path.endsWith('package-lock.json') && /^\s*"resolved": "https?:/.test(text)) {
        breaches.push({ line: index + 1, text: 'a registry of one machine' })
      }
    })
    return breaches
  }
}

const checkMachine = createMachineCheck()

/** Breaches of one file as { line, text }. `file`: { path relative to the repository, lines }. */
function checkFile(file, machine = checkMachine) {
  const { path } = file
  const breaches = machine(file)
  if (/^native\/.*\.(?:cc|h)$/.test(path)) breaches.push(...checkNative(file))
  if (/^src\/.*\.ts$/.test(path)) breaches.push(...checkSource(file))
  if (/^(?:native|src|test|bench|scripts|demo)\/.*\.(?:cc|h|ts|mts|mjs|cjs)$/.test(path))
    breaches.push(...checkSize(file))
  return breaches
}

function listCommittedFiles() {
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], options)
  return [...new Set(listed.split('\0'))].filter((path) => path !== '')
}

function readLines(path) {
  let bytes
  try {
    bytes = readFileSync(join(root, path))
  } catch {
    return undefined // deleted but not committed, or a folder
  }
  return bytes.includes(0) ? undefined : bytes.toString('utf8').split('\n')
}

/** Every breach in the repository, as lines of text. */
export function lintLayers() {
  const reports = []
  for (const path of listCommittedFiles()) {
    const lines = readLines(path)
    if (lines === undefined) continue
    for (const { line, text } of checkFile({ path, lines })) reports.push(`${path}:${line}: ${text}`)
  }
  return reports
}

// One planted breach per rule: path, the offending text, and whether the same text elsewhere is right.
const planted = [
  ['native/core/base/a.h', '#include "core/io/file.h"', 'native/core/store/a.h'],
  ['native/core/io/a.cc', '#include "core/store/segment.h"', 'native/core/search/a.cc'],
  ['native/core/kernels/a.cc', '#include "core/store/segment.h"', 'native/core/store/b.cc'],
  ['native/core/base/a.cc', '#include "core/nowhere/a.h"', undefined],
  ['native/core/store/a.cc', '#include <sys/mman.h>', 'native/core/io/a.cc'],
  ['native/binding/a.cc', '#include <unistd.h>', 'native/core/io/a.cc'],
  ['native/core/store/a.cc', '  #  include <napi.h>', 'native/binding/a.cc'],
  ['native/core/search/a.cc', '#include <simsimd/simsimd.h>', 'native/core/kernels/a.cc'],
  ['native/core/store/a.cc', '#include "test/harness.h"', 'native/core/store/a_test.cc'],
  ['native/core/search/a.cc', '#include "binding/values.h"', 'native/binding/a.cc'],
  ['src/errors.ts', "import { a } from './warm/vector'", 'src/index.ts'],
  ['src/warm/a.ts', "export * from '../tiers/hot'", 'src/sync/a.ts'],
  ['src/tiers/a.ts', "const a = await import('../sync/clock')", 'src/cli/a.ts'],
  ['src/history/a.ts', "import '../sync/clock'", 'src/integrations/a.ts'],
  ['src/warm/a.ts', "import { open } from '../index'", 'src/cli/commands/a.ts'],
  ['src/index.ts', "import { main } from './cli/main'", undefined],
  ['src/warm/a.ts', "import type { Store } from 'thermocline'", undefined],
  ['src/nowhere/a.ts', 'export {}', undefined],
  ['scripts/a.mjs', '// '.padEnd(columnsMax + 1, 'x'), 'docs/a.md'],
  ['docs/a.md', 'see [this](/place/of/machine/a)', undefined],
  ['docs/b.md', 'cd /place/of/machine', undefined],
  ['docs/c.md', `ls ${['', 'home', 'somebody'].join('/')}`, undefined],
  ['package-lock.json', '      "resolved": "https://registry.invalid/a.tgz",', undefined],
]

/** Throws a ScriptError unless every planted breach is found at its line and its rightful twin is not. */
export function selfTest() {
  const machine = createMachineCheck(['/place/of/machine'])
  const misses = []
  for (const [path, text, right] of planted) {
    const found = checkFile({ path, lines: ['', text] }, machine)
    const wantedLine = text === 'export {}' ? 1 : 2
    if (found.length !== 1 || found[0].line !== wantedLine) misses.push(`not found: ${path}: ${text}`)
    if (right !== undefined && checkFile({ path: right, lines: ['', text] }, machine).length > 0) {
      misses.push(`wrongly found: ${right}: ${text}`)
    }
  }
  const long = Array.from({ length: linesMax + 1 }, () => '')
  if (checkFile({ path: 'src/warm/a.ts', lines: long }).length !== 1) misses.push('not found: a long file')
  const explained = ['// Kept in one file because the steps share their state.', ...long]
  if (checkFile({ path: 'src/warm/a.ts', lines: explained }).length !== 0) misses.push('wrongly found: a long file')
  if (misses.length > 0) throw new ScriptError(misses.join('\n'))
}

async function main() {
  if (process.argv.includes('--self-test')) {
    selfTest()
    console.log(`lint-layers: all ${planted.length + 1} planted breaches found`)
    return
  }
  const reports = lintLayers()
  for (const report of reports) console.log(report)
  if (reports.length > 0) throw new ScriptError(`lint-layers: ${reports.length} breaches`)
  console.log('lint-layers: the layers import only those before them')
}

runAsProgram(import.meta.url, main)
