// Goal: where no prebuilt binary fits, the package says so and compiles itself from the sources it brought, without a
// network. Method: it is unpacked beside no clone, its prebuilt binaries are taken away, and its command is run with
// and without tools to compile with.

import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { directoryOfFile, emptyProject, extractTarball, packMsMax, packTarball, Sandbox } from '../support/packed.js'
import { outcomeOf, root } from '../support/processes.js'

const { asksForMusl, loadBinary } = createRequire(import.meta.url)(
  join(root, 'dist/binary.js'),
) as typeof import('../../src/binary.js')

const directory = directoryOfFile()
const sandbox = new Sandbox(join(directory, 'sandbox'))
const project = emptyProject(join(directory, 'a project'))
const installed = join(project, 'node_modules', 'thermocline')
const command = [process.execPath, join(installed, 'scripts', 'build-from-source.mjs')]
const program = "console.log(require('thermocline').open(process.argv[1], { dimensions: 1 }).put({ id: 'a' }))"
const use = [process.execPath, '-e', program, join(directory, 'store')]
const x64 = { platform: 'linux', arch: 'x64', musl: false }
/** Half a minute of one core, on a host that may have others to serve. */
const compileMsMax = 600_000
/** What the compiler makes of it is tested elsewhere. */
const unoptimised = { CFLAGS: '-O0', CXXFLAGS: '-O0' }

/** What somebody sees whose binary cannot be loaded. */
function refusal(host: { platform: string; arch: string; musl: boolean }, load?: (path: string) => unknown): object {
  try {
    loadBinary(installed, host, load)
  } catch (error) {
    return error as object
  }
  throw new Error('it was loaded')
}

beforeAll(() => extractTarball(packTarball(directory), installed), packMsMax)

test('a binary that can be loaded is left alone', () => {
  const child = sandbox.run(command)
  expect([outcomeOf(child), child.stdout]).toEqual([
    { status: 0, signal: null },
    expect.stringContaining('nothing to do'),
  ])
  expect(existsSync(join(installed, 'build'))).toBe(false)
})

test('musl is told from glibc, and its users are told what to do', () => {
  const program = (loader: string) => Buffer.from(`\x7fELF...${loader}\0...`)
  expect(asksForMusl(program('/lib/ld-musl-x86_64.so.1'))).toBe(true)
  expect(asksForMusl(program('/lib64/ld-linux-x86-64.so.2'))).toBe(false)
  expect(refusal({ ...x64, musl: true })).toMatchObject({
    code: 'THERMOCLINE_NOT_SUPPORTED',
    message: expect.stringMatching(
      /linux-x64 with musl.*\n.*build\/Release.*not there\n.*prebuilds\/linux-x64.*glibc.*\n.*npx thermocline-build/,
    ),
  })
})

test('a binary that cannot be loaded is named with the reason of the system, which is the cause', () => {
  const cause = new Error('wrong ELF class')
  const error = refusal(x64, () => {
    throw cause
  })
  expect(error).toMatchObject({ cause, message: expect.stringContaining('thermocline.node: wrong ELF class') })
})

test('without a binary, loading fails with a code and names the command that compiles one', () => {
  rmSync(join(installed, 'prebuilds'), { recursive: true })
  const child = sandbox.run(use, { cwd: project })
  expect(child.status).toBe(1)
  expect(child.stderr).toContain("code: 'THERMOCLINE_NOT_SUPPORTED'")
  expect(child.stderr).toContain('npx thermocline-build')
})

test('without a compiler the command says in one line what to install', () => {
  const child = sandbox.run(command)
  expect([child.status, child.stderr]).toEqual([1, expect.stringMatching(/^A C\+\+20 compiler is missing: .*\n$/)])
})

test('code that does not compile shows what the compiler said, and leaves no binary', () => {
  writeFileSync(join(directory, 'broken'), '#!/bin/sh\necho the compiler gave up >&2\nexit 1\n', { mode: 0o755 })
  const { PATH, HOME } = process.env
  const child = sandbox.run(command, {
    env: { PATH, HOME, CC: join(directory, 'broken'), CXX: join(directory, 'broken') },
  })
  expect([child.status, child.stderr]).toEqual([1, expect.stringContaining('the compiler gave up')])
  expect(existsSync(join(installed, 'build'))).toBe(false)
})

test(
  'with a compiler and no network the command compiles a binary, and the package works',
  () => {
    const { PATH, HOME } = process.env
    const child = sandbox.run(command, { env: { PATH, HOME, ...unoptimised } })
    expect(outcomeOf(child)).toEqual({ status: 0, signal: null })
    expect(readdirSync(join(installed, 'build', 'Release'))).toEqual(['thermocline.node'])
    const used = sandbox.run(use, { cwd: project })
    expect([outcomeOf(used), used.stdout]).toEqual([{ status: 0, signal: null }, '1\n'])
    console.log(child.stdout.trimEnd().split('\n').at(-1))
  },
  compileMsMax,
)
