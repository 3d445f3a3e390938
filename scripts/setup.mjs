// Brings a clone to the point where it runs: packages, addon, compiled TypeScript. Does only what is missing.
//
//   node scripts/setup.mjs        (npm run build)
//
// Imports only node: modules. Nothing is downloaded but npm packages: node-gyp gets the headers that came with Node.

import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { writeModuleWrappers } from './module-wrappers.mjs'
import {
  findCommand,
  formatSeconds,
  listFiles,
  modifiedAt,
  root,
  run,
  runAsProgram,
  runOrFail,
  ScriptError,
} from './run.mjs'
import { canLinkPortably, checkCompiler, checkNodeVersion, findNodeDirectory, findNodeGyp } from './tools.mjs'

const addons = ['thermocline', 'thermocline_planted'].map((name) => join(root, 'build', 'Release', `${name}.node`))
const linkInputs = listFiles(join(root, 'native', 'link'))
const lockFile = join(root, '.cache', 'setup.lock')

/** The command and first arguments that start npm: the npm that runs us, else the one of PATH. */
export function npmCommand() {
  const path = process.env.npm_execpath
  if (path?.endsWith('.js') && existsSync(path)) return [process.execPath, path]
  const npm = findCommand('npm')
  if (npm === undefined) throw new ScriptError('npm is missing: it comes with Node; on Debian install npm.')
  return [npm]
}

/** What packages with native code need to compile without downloading anything. */
export function installEnvironment() {
  return {
    npm_config_nodedir: findNodeDirectory(),
    npm_config_dry_run: 'false', // that of `npm pack --dry-run` is not meant for what packing needs
    // node-pre-gyp asks a web server for binaries first, unless told to compile. npm itself warns about the two names, hence
    // its log level below.
    npm_config_build_from_source: '@riaskov/mmap-io',
    JOBS: '2',
  }
}

async function installPackages() {
  const marker = join(root, 'node_modules', '.package-lock.json')
  if (modifiedAt(marker) >= modifiedAt(join(root, 'package-lock.json'))) return
  const [npm, ...first] = npmCommand()
  await step('npm ci', () =>
    runOrFail('npm ci', npm, [...first, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      env: installEnvironment(),
    }),
  )
  const now = new Date()
  utimesSync(marker, now, now) // npm keeps an older time when it had nothing to do
}

function nativeInputs() {
  const { lists } = createRequire(import.meta.url)('./native-sources.cjs')
  const sources = [...lists.simsimd(), ...lists.core(), ...lists.claim(), ...lists.binding()]
  const headers = listFiles(join(root, 'native'), (name) => name.endsWith('.h') || name.endsWith('.def'))
  const files = [...headers, ...linkInputs, ...sources.map((path) => join(root, path)), join(root, 'binding.gyp')]
  return { sources, files }
}

function linkedAddons() {
  return listFiles(join(root, 'build', 'Release', 'obj.target'), (name) => name.endsWith('.node'))
}

async function buildAddon() {
  const { sources, files } = nativeInputs()
  // The binary that is tested here is the one that is packed, so it is linked for other systems where that is possible.
  const defines = `development=1 portable=${(await canLinkPortably()) ? 1 : 0}`
  const configuration = JSON.stringify({ node: process.version, arch: process.arch, defines, sources })
  const configurationFile = join(root, 'build', 'thermocline-configuration.json')
  const configured =
    existsSync(configurationFile) &&
    readFileSync(configurationFile, 'utf8') === configuration &&
    modifiedAt(join(root, 'build', 'Makefile')) > modifiedAt(join(root, 'binding.gyp'))
  const builtAt = Math.min(...addons.map(modifiedAt))
  if (configured && files.every((file) => modifiedAt(file) < builtAt)) return
  const gyp = findNodeGyp()
  const nodedir = `--nodedir=${findNodeDirectory()}`
  // Configuring again keeps the objects, make compiles only what changed; another Node starts from nothing.
  const otherNode = existsSync(configurationFile) && !readFileSync(configurationFile, 'utf8').includes(process.version)
  const commands = configured ? ['build'] : otherNode ? ['clean', 'configure', 'build'] : ['configure', 'build']
  await step('build the addon', async () => {
    const startedAt = new Date() // an edit made while the compiler runs must count as newer
    // make knows of no file that only the linker reads
    if (linkInputs.some((file) => modifiedAt(file) > builtAt)) for (const addon of linkedAddons()) rmSync(addon)
    await runOrFail('node-gyp', process.execPath, [gyp, ...commands, nodedir], {
      env: { JOBS: '2', GYP_DEFINES: defines },
    })
    // make leaves a binary alone whose objects did not change, though a header did
    for (const addon of addons) utimesSync(addon, startedAt, startedAt)
  })
  writeFileSync(configurationFile, configuration)
}

async function compileTypeScript() {
  const stamp = join(root, 'dist', '.built')
  const sources = listFiles(join(root, 'src'), (name) => name.endsWith('.ts'))
  const inputs = [...sources, join(root, 'tsconfig.json'), join(root, 'package-lock.json')]
  const emitted = new Set(
    sources.flatMap((source) => {
      const stem = join(root, 'dist', relative(join(root, 'src'), source).replace(/\.ts$/, ''))
      return ['.js', '.js.map', '.d.ts', '.mjs', '.d.mts'].map((suffix) => stem + suffix)
    }),
  )
  const stale = listFiles(join(root, 'dist')).filter((file) => !emitted.has(file) && file !== stamp)
  if (stale.length === 0 && inputs.every((file) => modifiedAt(file) < modifiedAt(stamp))) return
  await step('tsc', async () => {
    const startedAt = new Date()
    for (const file of stale) rmSync(file)
    const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    await runOrFail('tsc', process.execPath, [compiler, '--project', join(root, 'tsconfig.json')])
    writeModuleWrappers(join(root, 'dist'))
    writeFileSync(stamp, '')
    utimesSync(stamp, startedAt, startedAt)
  })
}

// To stderr: stdout is for what was asked for, such as the JSON of `npm pack --json` and of the benchmark.
async function step(title, action) {
  const startedAt = performance.now()
  process.stderr.write(`setup: ${title} ... `)
  try {
    await action()
  } catch (error) {
    process.stderr.write('failed\n')
    throw error
  }
  process.stderr.write(`${formatSeconds(performance.now() - startedAt)}\n`)
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

// Two scripts at once would write the same objects. A lock of a process that is gone is taken over.
async function lockSetup() {
  mkdirSync(dirname(lockFile), { recursive: true })
  for (let told = false; ; ) {
    try {
      writeFileSync(lockFile, String(process.pid), { flag: 'wx' })
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const owner = existsSync(lockFile) ? Number(readFileSync(lockFile, 'utf8')) : 0
    if (owner > 0 && !isAlive(owner)) rmSync(lockFile, { force: true })
    if (!told) console.error(`setup: waits for process ${owner}, which builds here`)
    told = true
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Installs and builds what is missing or older than its sources. Throws a ScriptError with one line for people. */
export async function setup() {
  checkNodeVersion()
  checkCompiler()
  findNodeDirectory()
  await lockSetup()
  try {
    await installPackages()
    await buildAddon()
    await compileTypeScript()
  } finally {
    rmSync(lockFile, { force: true })
  }
}

/** Runs a script of the repository with this Node; resolves with its exit code. */
export async function runScript(path, scriptArguments = []) {
  return (await run(process.execPath, [join(root, path), ...scriptArguments])).code
}

runAsProgram(import.meta.url, setup)
