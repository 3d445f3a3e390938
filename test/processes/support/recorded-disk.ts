// A disk whose writes are written down, with a file system on it: nbdkit serves native/blocks/recorder.cc, nbdfuse shows
// it as a file, a loop device as a disk. And the disks that a loss of power could have left, made from what was written.
//
// What a loss of power may do to a disk: all that came before the last flush is there; of the sectors that came after it
// any choice, in any order. Nothing is assumed of an order among them, nor that a write is there whole.

import { execFileSync, spawn } from 'node:child_process'
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const recorderSource = fileURLToPath(new URL('../../../native/blocks/recorder.cc', import.meta.url))
const sectorBytes = 512
const headerBytes = 24
const pageBytes = 4096
const startMsMax = 10_000
const tools = ['nbdkit', 'nbdfuse', 'losetup', 'mkfs.ext4', 'mount', 'umount', 'fusermount3']
const paths = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

function find(command: string): string | undefined {
  return paths.map((path) => join(path, command)).find((path) => existsSync(path))
}

/** Why there can be no such disk here, in words; undefined where there can. */
export function whyNoDisks(): string | undefined {
  const missing = tools.filter((tool) => find(tool) === undefined)
  if (!existsSync('/usr/include/nbdkit-plugin.h')) missing.push('nbdkit-plugin.h')
  if (missing.length > 0) return `not run here: block-level power cuts, which need ${missing.join(', ')}`
  for (const device of ['/dev/fuse', '/dev/loop-control']) {
    try {
      accessSync(device, constants.R_OK | constants.W_OK)
    } catch {
      return `block-level power cuts cannot be made by this user on this kernel: ${device}`
    }
  }
  return undefined
}

function call(command: string, ...values: string[]): string {
  return execFileSync(find(command) ?? command, values, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}

async function waitFor(what: string, isThere: () => boolean): Promise<void> {
  const deadline = Date.now() + startMsMax
  while (!isThere()) {
    if (Date.now() > deadline) throw new Error(`${what} did not start in ${startMsMax} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** One request that reached the disk. */
export interface Request {
  /** ns, CLOCK_MONOTONIC, as process.hrtime.bigint() has it. */
  at: bigint
  offset: number
  /** undefined: a flush. */
  bytes: Buffer | undefined
}

export class RecordedDisk {
  readonly #directory: string
  readonly bytes: number
  readonly #undo: (() => void)[] = []

  constructor(directory: string, megabytes: number) {
    this.#directory = directory
    this.bytes = megabytes * 2 ** 20
  }

  /** Makes the disk and its file system, and mounts it. @returns where */
  async mount(): Promise<string> {
    mkdirSync(this.#directory, { recursive: true })
    const at = (name: string) => join(this.#directory, name)
    const plugin = at('recorder.so')
    const flags = ['-std=c++20', '-O2', '-fPIC', '-shared', '-o', plugin, recorderSource]
    execFileSync(process.env.CXX ?? 'c++', flags, { stdio: ['ignore', 'ignore', 'inherit'] })
    const served = [plugin, `trace=${this.#tracePath}`, `size=${this.bytes}`]
    const server = spawn(find('nbdkit') ?? 'nbdkit', ['-f', '-U', at('socket'), ...served], { stdio: 'ignore' })
    this.#undo.push(() => server.kill())
    await waitFor('nbdkit', () => existsSync(at('socket')))
    closeSync(openSync(at('disk'), 'w'))
    const shown = spawn(find('nbdfuse') ?? 'nbdfuse', [at('disk'), '--unix', at('socket')], { stdio: 'ignore' })
    this.#undo.push(() => shown.kill())
    this.#undo.push(() => call('fusermount3', '-u', at('disk')))
    await waitFor('nbdfuse', () => readFileSync('/proc/mounts', 'utf8').includes(at('disk')))
    call('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', at('disk'))
    // Past the page cache: what the file system calls written has reached the recorder.
    const device = call('losetup', '--direct-io=on', '--find', '--show', at('disk'))
    this.#undo.push(() => call('losetup', '--detach', device))
    mkdirSync(at('mounted'))
    call('mount', device, at('mounted'))
    this.#undo.push(() => call('umount', at('mounted')))
    return at('mounted')
  }

  get #tracePath(): string {
    return join(this.#directory, 'trace')
  }

  /** Unmounts, and reads what was written down. */
  unmount(): Request[] {
    this.release()
    const trace = readFileSync(this.#tracePath)
    const requests: Request[] = []
    for (let at = 0; at + headerBytes <= trace.length; ) {
      const length = trace.readUInt32LE(at + 16)
      const isFlush = trace.readUInt32LE(at + 20) === 1
      const bytes = isFlush ? undefined : trace.subarray(at + headerBytes, at + headerBytes + length)
      requests.push({ at: trace.readBigUInt64LE(at), offset: Number(trace.readBigUInt64LE(at + 8)), bytes })
      at += headerBytes + length
    }
    return requests
  }

  /** Takes down whatever is up, the last first. */
  release(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo()
  }
}

/** The disks that cuts of one recording leave, each cut later than the one before. */
export class CutDisks {
  readonly #requests: readonly Request[]
  readonly #random: () => number
  /** What no cut from here on can take back. */
  readonly #safe: Buffer
  #safeTo = 0

  constructor(requests: readonly Request[], bytes: number, random: () => number) {
    this.#requests = requests
    this.#random = random
    this.#safe = Buffer.alloc(bytes)
  }

  /** The disk after a cut at request `cut`, which may be there in part as those since the last flush may. */
  at(cut: number): Buffer {
    let flushed = this.#safeTo
    for (let at = this.#safeTo; at < cut; at++) if (this.#requests[at]?.bytes === undefined) flushed = at + 1
    for (let at = this.#safeTo; at < flushed; at++)
      this.#requests[at]?.bytes?.copy(this.#safe, this.#requests[at]?.offset)
    this.#safeTo = flushed
    const disk = Buffer.from(this.#safe)
    // How much of it arrives differs from cut to cut: nearly all, nearly nothing, and everything between.
    const share = this.#random()
    for (let at = flushed; at <= cut; at++) {
      const { offset, bytes } = this.#requests[at] as Request
      if (bytes === undefined) continue
      const isTorn = this.#random() < 0.2
      const isThere = this.#random() < share
      for (let from = 0; from < bytes.length; from += sectorBytes) {
        if (isTorn ? this.#random() < share : isThere) bytes.copy(disk, offset + from, from, from + sectorBytes)
      }
    }
    return disk
  }
}

/** Writes a disk into a file, holes where it is empty, and mounts it: the file system makes itself whole first. */
export function mountImage(disk: Buffer, file: string, directory: string): { unmount(): void } {
  const empty = Buffer.alloc(pageBytes)
  const descriptor = openSync(file, 'w')
  for (let at = 0; at < disk.length; at += pageBytes) {
    const page = disk.subarray(at, at + pageBytes)
    if (!page.equals(empty) || at + pageBytes === disk.length) writeSync(descriptor, page, 0, page.length, at)
  }
  closeSync(descriptor)
  mkdirSync(directory, { recursive: true })
  call('mount', '-o', 'loop', file, directory)
  return { unmount: () => void call('umount', directory) }
}
