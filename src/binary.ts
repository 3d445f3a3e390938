// Finds the native binary that fits this process, and loads it.
//
// Not here: what the binary exports (`native.ts`). Nothing is downloaded and nothing is compiled: a package without a
// binary for this system says which command compiles it.

import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** What decides whether a prebuilt binary can be loaded. */
export interface Host {
  /** As `process.platform` and `process.arch`. */
  readonly platform: string
  readonly arch: string
  /** The C library of this Node is musl (Alpine), while prebuilt binaries are linked with glibc. */
  readonly musl: boolean
}

const fileName = 'thermocline.node'
const headBytes = 4096

/** Whether an ELF program asks for musl's loader. `head`: its first bytes, among which the loader's name stands. */
export function asksForMusl(head: Uint8Array): boolean {
  return Buffer.from(head.buffer, head.byteOffset, head.byteLength).includes('/ld-musl-')
}

function readHead(path: string): Uint8Array {
  const head = new Uint8Array(headBytes)
  const file = openSync(path, 'r')
  try {
    return head.subarray(0, readSync(file, head))
  } finally {
    closeSync(file)
  }
}

function runsOnMusl(): boolean {
  if (process.platform !== 'linux') return false
  try {
    return asksForMusl(readHead('/proc/self/exe'))
  } catch {
    return false // loading tells
  }
}

function noBinaryError(root: string, { platform, arch, musl }: Host, reasons: string[], cause: unknown): Error {
  // A clone has src, the package has not.
  const command = existsSync(join(root, 'src')) ? 'npm run build' : 'npx thermocline-build'
  const system = `${platform}-${arch}${musl ? ' with musl' : ''}`
  const message = [
    `thermocline: no native binary can be loaded on ${system} with Node ${process.versions.node}.`,
    ...reasons.map((reason) => `  ${reason}`),
    `To compile it here: ${command} (needs a C++20 compiler, make and Python 3; downloads nothing).`,
  ].join('\n')
  // The class ThermoclineError takes its codes from the binary, so without one it does not exist.
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), {
    code: 'THERMOCLINE_NOT_SUPPORTED',
    retryable: false,
    details: {},
  })
}

/**
 * Loads the binary of the package in `root`: the one that was compiled there, else the prebuilt one of this system.
 *
 * A compiled one comes first because somebody asked for it, and because in a clone it is never older than its sources.
 * What cannot be loaded (a folder copied from another system) is passed over. Throws an Error with the code
 * THERMOCLINE_NOT_SUPPORTED that names what was tried and what to do.
 */
export function loadBinary(
  root: string,
  host: Host = { platform: process.platform, arch: process.arch, musl: runsOnMusl() },
  load: (path: string) => unknown = require,
): unknown {
  const prebuilt = join('prebuilds', `${host.platform}-${host.arch}`, fileName)
  const reasons: string[] = []
  let cause: unknown
  for (const place of [join('build', 'Release', fileName), prebuilt]) {
    const path = join(root, place)
    if (!existsSync(path)) reasons.push(`${place}: is not there`)
    else if (host.musl && place === prebuilt) reasons.push(`${place}: is for glibc, and this Node uses musl`)
    else {
      try {
        return load(path)
      } catch (error) {
        cause = error
        reasons.push(`${place}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  throw noBinaryError(root, host, reasons, cause)
}
