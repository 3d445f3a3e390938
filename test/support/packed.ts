// The package as a user gets it: packed by npm, installed without a network, run where nothing can compile.

import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { outcomeOf, root } from './processes.js'

/** A cross compiler may have everything to do. */
export const packMsMax = 600_000
const commandMsMax = 600_000 // a compiler is among them

/** A directory that goes away when the tests of the file have run. */
export function directoryOfFile(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'thermocline-package-')))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The full path of a command of this process's own PATH; a sandbox has another. */
export function pathOf(command: string): string {
  return execFileSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim()
}

function findNpm(): string {
  const named = process.env.npm_execpath
  if (named?.endsWith('.js')) return named
  return realpathSync(pathOf('npm'))
}

const npm = findNpm()

// What npm tells its scripts is not meant for another npm.
function ownEnvironment(): NodeJS.ProcessEnv {
  const kept = ([name]: [string, unknown]) => !name.toLowerCase().startsWith('npm_') || name === 'npm_config_nodedir'
  return Object.fromEntries(Object.entries(process.env).filter(kept))
}

/** Runs `npm pack` as its user does, into `directory`; the tarball's path. */
export function packTarball(directory: string): string {
  const packed = spawnSync(process.execPath, [npm, 'pack', '--pack-destination', directory], {
    cwd: root,
    encoding: 'utf8',
    env: ownEnvironment(),
    timeout: packMsMax,
  })
  const tarballs = readdirSync(directory).filter((name) => name.endsWith('.tgz'))
  if (packed.status !== 0 || tarballs.length !== 1) throw new Error(`npm pack: ${packed.stdout}\n${packed.stderr}`)
  for (const line of packed.stderr.split('\n')) if (/^pack: .*left out/.test(line)) console.log(`not run here: ${line}`)
  return join(directory, tarballs[0] as string)
}

/** Puts the package into a folder as a package manager does. */
export function extractTarball(tarball: string, folder: string): void {
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1', '--no-same-owner'])
}

/** A command that cuts what it starts off from every network, where this process may do that; else npm's word counts. */
const cutOff: string[] =
  [
    [pathOf('unshare'), '--net'],
    [pathOf('unshare'), '--net', '--map-root-user'],
  ].find(([command = '', ...rest]) => spawnSync(command, [...rest, 'true']).status === 0) ?? []

export interface RunOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Another user, who has no rights by being root. Needs root. */
  uid?: number
}

/** A place of its own: an empty home, an empty cache of npm, no network, a PATH with node, npm and sh alone. */
export class Sandbox {
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv

  constructor(directory: string) {
    this.directory = directory
    const [bin, home] = [join(directory, 'bin'), join(directory, 'home')]
    for (const each of [bin, home]) mkdirSync(each, { recursive: true })
    const tools = { node: process.execPath, npm, sh: pathOf('sh') }
    for (const [name, target] of Object.entries(tools)) symlinkSync(target, join(bin, name))
    this.environment = {
      PATH: bin,
      HOME: home,
      npm_config_cache: join(directory, 'cache'),
      npm_config_update_notifier: 'false',
    }
  }

  /** Runs a command, given by its full path. */
  run(command: string[], { cwd = this.directory, env = {}, uid }: RunOptions = {}): SpawnSyncReturns<string> {
    const asUser = uid === undefined ? [] : [pathOf('setpriv'), `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
    const [program = '', ...rest] = [...cutOff, ...asUser, ...command]
    return spawnSync(program, rest, {
      cwd,
      encoding: 'utf8',
      env: { ...this.environment, ...env },
      timeout: commandMsMax,
    })
  }

  /** Runs npm in a project and answers with what it said; throws when it fails. */
  npm(project: string, ...commandArguments: string[]): string {
    const quiet = ['--offline', '--no-audit', '--no-fund']
    const result = this.run([process.execPath, npm, ...commandArguments, ...quiet], { cwd: project })
    if (result.status !== 0) throw new Error(`npm ${commandArguments[0]}: ${JSON.stringify(outcomeOf(result))}`)
    return result.stdout + result.stderr
  }
}

/** An empty project: a package.json that asks for nothing. */
export function emptyProject(folder: string): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  return folder
}

/** Every Node that is here: the one that runs the tests, and those that THERMOCLINE_NODES names. */
export function everyNode(): string[] {
  const others = (process.env.THERMOCLINE_NODES ?? '').split(':').filter(Boolean)
  if (others.length === 0) console.log('not run here: other versions of Node (THERMOCLINE_NODES)')
  return [process.execPath, ...others]
}
