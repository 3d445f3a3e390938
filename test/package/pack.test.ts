// Goal: the tarball of `npm pack` installs and runs anywhere on Linux with glibc: without compiler, Python or network,
// on every Node that is supported, however node_modules is laid out. Method: it is installed into empty projects with
// an empty cache and a PATH that has node, npm and sh alone, and used by import, by require and in a worker.

import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { glibcMin, highestVersions, judgeBinary, readBinaryNeeds } from '../../scripts/binary-needs.mjs'
import {
  directoryOfFile,
  emptyProject,
  everyNode,
  extractTarball,
  packMsMax,
  packTarball,
  pathOf,
  Sandbox,
} from '../support/packed.js'
import { outcomeOf, root } from '../support/processes.js'

const tarballBytesMax = 4 * 2 ** 20
const nobody = 65534
const directory = directoryOfFile()
const sandbox = new Sandbox(join(directory, 'sandbox'))
/** Its name has what breaks unquoted paths. */
const project = join(directory, 'a project, ünïcode 記憶')
const installed = join(project, 'node_modules', 'thermocline')
let tarball: string

/** Uses the package by the way of loading that the file stands for, in this thread and in a worker. */
function consumer(load: string, workerData: string): string {
  return `${load}
    if (isMainThread) {
      const store = open(process.argv[2], { dimensions: 3 })
      store.put({ id: 'a', embedding: [0, 1, 0], content: 'kept' })
      new Worker(${workerData}, { workerData: process.argv[2] }).on('exit', async () => {
        const [hit] = await store.search([0, 1, 0])
        await store.flush()
        console.log(hit.memory.content, store.get('b').content, typeof openWarmTier)
        store.close()
      })
    } else {
      const store = open(workerData)
      store.put({ id: 'b', content: 'from a worker' })
      store.close()
    }
  `
}
const consumers = {
  'consumer.mjs': consumer(
    `import { isMainThread, Worker, workerData } from 'node:worker_threads'
    import { open } from 'thermocline'
    import { openWarmTier } from 'thermocline/warm'`,
    'new URL(import.meta.url)',
  ),
  'consumer.cjs': consumer(
    `const { isMainThread, Worker, workerData } = require('node:worker_threads')
    const { open } = require('thermocline')
    const { openWarmTier } = require('thermocline/warm')`,
    '__filename',
  ),
}
const said = 'kept from a worker function\n'

function expectItWorks(folder: string, { node = process.execPath, uid }: { node?: string; uid?: number } = {}): void {
  for (const [name, source] of Object.entries(consumers)) {
    writeFileSync(join(folder, name), source)
    const store = join(folder, `store of ${name}`)
    rmSync(store, { recursive: true, force: true })
    const child = sandbox.run([node, name, store], { cwd: folder, ...(uid === undefined ? {} : { uid }) })
    expect([name, outcomeOf(child), child.stdout]).toEqual([name, { status: 0, signal: null }, said])
  }
}

function listTarball(): string[] {
  const listed = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n')
  return listed.map((path) => path.replace(/^package\//, ''))
}

beforeAll(() => {
  tarball = packTarball(directory)
  sandbox.npm(emptyProject(project), 'install', tarball)
}, packMsMax)

test('the tarball holds what is used and nothing else', () => {
  const files = listTarball()
  const allowed = [
    /^(?:package\.json|README\.md|CHANGELOG\.md|LICENSE)$/,
    /^dist\/[\w/-]+\.(?:js|js\.map|mjs|d\.ts|d\.mts)$/,
    /^docs\/[\w/-]+\.(?:md|svg)$/,
    /^prebuilds\/linux-(?:x64|arm64)\/thermocline\.node$/,
    /^scripts\/(?:build-from-source|run|tools)\.mjs$/,
    /^source\/(?:binding\.gyp|scripts\/native-sources\.cjs|third_party\/README\.md)$/,
    /^source\/native\/(?:core|binding)\/[\w/]+\.(?:cc|h|def)$/,
    /^source\/native\/link\/\w+\.(?:c|map)$/,
    // Dependencies come along, so that an installation needs no network.
    /^node_modules\/(?:graceful-fs|lru-cache|proper-lockfile|retry|signal-exit)\//,
    /^source\/third_party\/(?:simsimd|node-addon-api)\/(?:[\w/.-]+\.[ch]|LICENSE|LICENSE\.md)$/,
  ]
  expect(files.filter((file) => !allowed.some((each) => each.test(file)))).toEqual([])
  expect(
    files.filter((file) => /_planted|_(?:test|fuzz)\.|\.node$/.test(file) && !file.startsWith('prebuilds/')),
  ).toEqual([])
  const needed = [
    'LICENSE',
    'dist/index.mjs',
    'dist/index.d.mts',
    'dist/warm/index.js',
    `prebuilds/linux-${process.arch}/thermocline.node`,
    'source/binding.gyp',
    'source/third_party/simsimd/LICENSE',
    'source/third_party/node-addon-api/LICENSE.md',
  ]
  for (const file of needed) expect(files).toContain(file)
  expect(readFileSync(tarball).length).toBeLessThan(tarballBytesMax)
})

test('what README links is in the tarball', () => {
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link)
  const local = links.filter((link) => !/^[a-z]+:/.test(link))
  expect(local.length).toBeGreaterThan(3)
  const files = listTarball()
  const isThere = (link: string) => files.some((file) => file === link || file.startsWith(`${posix.normalize(link)}/`))
  expect(local.filter((link) => !isThere(link))).toEqual([])
})

test('installing runs nothing: no lifecycle script, and no binding.gyp that a package manager would compile', () => {
  const {
    scripts,
    dependencies = {},
    bundleDependencies = [],
  } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) expect(scripts).not.toHaveProperty(script)
  expect(existsSync(join(installed, 'binding.gyp'))).toBe(false)
  // What is depended on comes in the tarball, because the network may be off.
  expect(bundleDependencies).toEqual(Object.keys(dependencies))
})

test('no compiler, no Python, no network: import and require work on every Node, in a path with spaces', () => {
  const tools = ['g++', 'cc', 'make', 'python3'].filter(
    (tool) => sandbox.run([pathOf('sh'), '-c', `command -v ${tool}`]).status === 0,
  )
  expect(tools).toEqual([])
  for (const node of everyNode()) expectItWorks(project, { node })
})

test('npm ci --ignore-scripts installs the same', () => {
  rmSync(join(project, 'node_modules'), { recursive: true })
  sandbox.npm(project, 'ci', '--ignore-scripts')
  expect(readdirSync(join(project, 'node_modules')).sort()).toEqual(['.bin', '.package-lock.json', 'thermocline'])
  expectItWorks(project)
})

test('it works by links into a store of packages, as pnpm lays them out', () => {
  const folder = emptyProject(join(directory, 'linked'))
  const real = join(folder, 'node_modules', '.pnpm', 'thermocline@0.0.0', 'node_modules', 'thermocline')
  extractTarball(tarball, real)
  symlinkSync('.pnpm/thermocline@0.0.0/node_modules/thermocline', join(folder, 'node_modules', 'thermocline'))
  expectItWorks(folder)
})

test('it works for a user who may not write to node_modules', () => {
  const folder = emptyProject(join(directory, 'read-only'))
  cpSync(installed, join(folder, 'node_modules', 'thermocline'), { recursive: true })
  execFileSync('chmod', ['-R', 'a-w,a+rX', join(folder, 'node_modules')])
  if (process.getuid?.() !== 0) return expectItWorks(folder)
  // Nothing is read-only for root, so another user tries.
  for (const open of [directory, folder]) chmodSync(open, 0o777)
  expectItWorks(folder, { uid: nobody })
})

test(`the prebuilt binaries ask for glibc ${glibcMin} and what comes with Node, and show two names`, async () => {
  const platforms = readdirSync(join(installed, 'prebuilds'))
  expect(platforms).toContain(`linux-${process.arch}`)
  for (const platform of platforms) {
    const file = join(installed, 'prebuilds', platform, 'thermocline.node')
    expect([platform, await judgeBinary(file)]).toEqual([platform, []])
    console.log(`${platform}: ${JSON.stringify(highestVersions(await readBinaryNeeds(file)))}`)
    const header = execFileSync('readelf', ['--file-header', file], { encoding: 'utf8' })
    expect(header).toMatch(
      platform.endsWith('arm64') ? /Machine:\s+AArch64/ : /Machine:\s+Advanced Micro Devices X86-64/,
    )
  }
  expect((await judgeBinary(pathOf('sh'))).length).toBeGreaterThan(0)
})

test('the arm64 binary works under an arm64 Node, in emulation', () => {
  if (!existsSync(join(installed, 'prebuilds', 'linux-arm64'))) return // packTarball said so
  const node = process.env.THERMOCLINE_NODE_ARM64
  if (node === undefined) {
    console.log('not run here: the arm64 binary (THERMOCLINE_NODE_ARM64 names an arm64 Node, qemu-user runs it)')
    return
  }
  const store = join(project, 'store of both')
  rmSync(store, { recursive: true, force: true })
  for (const command of [[process.execPath], [pathOf('qemu-aarch64'), '-L', '/usr/aarch64-linux-gnu', node]]) {
    const child = sandbox.run([...command, 'consumer.cjs', store], { cwd: project })
    expect([outcomeOf(child), child.stdout]).toEqual([{ status: 0, signal: null }, said])
  }
})

test('publint and attw find nothing wrong', () => {
  const bin = join(root, 'node_modules', '.bin')
  for (const command of [
    [join(bin, 'publint'), 'run', tarball, '--strict', '--level=suggestion'],
    [join(bin, 'attw'), tarball, '--no-color', '--no-emoji'],
  ]) {
    const { status, stdout, stderr } = sandbox.run(command)
    expect(status, stdout + stderr).toBe(0)
  }
})
