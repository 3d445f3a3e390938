// Makes what the package holds beside dist: prebuilds/ and source/. npm runs it for `npm pack` (script prepack).
//
//   node scripts/pack.mjs
//
// The binary of this processor is the one that the tests run, stripped. That of the other processor is compiled from
// source/, as a user would, by a cross compiler; where none is installed it is left out, and the script says so.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { checkBinary } from './binary-needs.mjs'
import { findCommand, formatSeconds, root, run, runAsProgram, runOrFail, ScriptError } from './run.mjs'
import { setup } from './setup.mjs'
import { readTree, sourceTree, updateTree } from './source-tree.mjs'
import { canLinkPortably, findCompiler, findNodeDirectory, findNodeGyp } from './tools.mjs'

const source = join(root, 'source')
const processors = [
  { arch: 'x64', prefix: 'x86_64-linux-gnu-', cross: 'g++-x86-64-linux-gnu' },
  { arch: 'arm64', prefix: 'aarch64-linux-gnu-', cross: 'g++-aarch64-linux-gnu' },
]

function prebuildFile(arch) {
  return join(root, 'prebuilds', `linux-${arch}`, 'thermocline.node')
}

// To stderr: npm prints the name of the tarball to stdout.
function tell(text) {
  process.stderr.write(`pack: ${text}\n`)
}

/** Strips and checks a binary, and puts it in its place when it differs from what is there. */
async function finishBinary(built, arch, strip) {
  const target = prebuildFile(arch)
  const fresh = `${target}.${process.pid}`
  mkdirSync(dirname(target), { recursive: true })
  try {
    await runOrFail('strip', strip, ['--strip-all', '-o', fresh, built])
    await checkBinary(fresh)
    if (!existsSync(target) || !readFileSync(fresh).equals(readFileSync(target))) renameSync(fresh, target)
  } finally {
    rmSync(fresh, { force: true })
  }
}

async function packOwnBinary(arch) {
  if (!(await canLinkPortably())) {
    throw new ScriptError(
      'No binary for other systems can be linked here: that needs glibc and libstdc++.a (Fedora: libstdc++-static).',
    )
  }
  await finishBinary(join(root, 'build', 'Release', 'thermocline.node'), arch, 'strip')
}

async function describeCompiler(compiler) {
  const { output } = await run(compiler, ['--version'], { quiet: true })
  return `${process.version} ${output}`
}

/** Compiles source/ for another processor in a folder of its own. */
async function packCrossBinary({ arch, prefix }) {
  const folder = join(root, '.cache', `cross-linux-${arch}`)
  const built = join(folder, 'build', 'Release', 'thermocline.node')
  const stamp = join(folder, 'build', 'compiled-by')
  const compiler = await describeCompiler(`${prefix}g++`)
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== compiler) rmSync(folder, { recursive: true, force: true })
  if (updateTree(readTree(source), folder) || !existsSync(built)) {
    const startedAt = performance.now()
    rmSync(built, { force: true })
    rmSync(join(folder, 'build', 'Release', 'obj.target', 'thermocline.node'), { force: true })
    const commands = ['configure', 'build', `--arch=${arch}`, `--nodedir=${findNodeDirectory()}`]
    await runOrFail(`node-gyp for ${arch}`, process.execPath, [findNodeGyp(), ...commands], {
      cwd: folder,
      env: {
        CC: `${prefix}gcc`,
        CXX: `${prefix}g++`,
        AR: `${prefix}ar`,
        GYP_DEFINES: 'portable=1',
        JOBS: '2',
      },
    })
    writeFileSync(stamp, compiler)
    tell(`compiled the addon for ${arch} in ${formatSeconds(performance.now() - startedAt)}`)
  }
  await finishBinary(built, arch, `${prefix}strip`)
}

async function packBinary(processor) {
  const { arch, prefix, cross } = processor
  if (arch === process.arch) return packOwnBinary(arch)
  if (findCommand(`${prefix}g++`) !== undefined) return packCrossBinary(processor)
  rmSync(dirname(prebuildFile(arch)), { recursive: true, force: true })
  tell(`linux-${arch} is left out: ${prefix}g++ is not here (on Debian: ${cross})`)
}

/** Builds what is stale and brings prebuilds/ and source/ up to date; what is right already is not touched. */
export async function pack() {
  await setup()
  updateTree(sourceTree(), source)
  if (!processors.some(({ arch }) => arch === process.arch)) {
    throw new ScriptError(`The package is made on x64 or arm64, this is ${process.arch}.`)
  }
  for (const processor of processors) await packBinary(processor)
  const arches = processors.filter(({ arch }) => existsSync(prebuildFile(arch))).map(({ arch }) => `linux-${arch}`)
  tell(`prebuilt for ${arches.join(', ')} with ${findCompiler()}`)
}

runAsProgram(import.meta.url, pack)
