// Files that a command reads and writes, `-` being stdin and stdout.

import { closeSync, createReadStream, fstatSync, open as openDescriptor, type Stats } from 'node:fs'
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { addAbortSignal, type Readable } from 'node:stream'
import { promisify } from 'node:util'
import { Failure } from '../errors'
import { orReaderGone } from './console'
import { CommandFailure } from './failure'

/** The name that stands for stdin or stdout. */
export const standardStream = '-'

const chunkBytes = 1024 * 1024
/** A memory with content of 64 MiB in which every letter is escaped is six times as long. */
const textBytesMax = 448 * 1024 * 1024
/** What a store holds is its owner's: no other user may read it, as they may not read the store's files. */
const modeOfNewFile = 0o600
const permissions = 0o777

export interface Input {
  readonly stream: Readable
  /** Bytes to come, where that is known. */
  readonly total: number | undefined
  /** How messages call it. */
  readonly name: string
  /** Whether somebody types it. */
  readonly isTerminal: boolean
  close(): void
}

const openFile = promisify(openDescriptor)

/** Opens a file, or takes stdin. An abort of the signal ends the stream with an AbortError. */
export async function openInput(file: string, signal?: AbortSignal): Promise<Input> {
  const isStandard = file === standardStream
  const descriptor = isStandard ? 0 : await openFile(file, 'r')
  const stats = fstatSync(descriptor)
  if (stats.isDirectory()) throw directoryFailure(file, descriptor)
  const stream = isStandard ? process.stdin : streamOf(descriptor, stats)
  if (signal !== undefined) addAbortSignal(signal, stream)
  return {
    stream,
    total: stats.isFile() ? stats.size : undefined,
    name: isStandard ? 'stdin' : file,
    isTerminal: isStandard && process.stdin.isTTY === true,
    // Also what was not read to its end, which would keep the process.
    close: () => void stream.destroy(),
  }
}

/** A pipe is read as a socket: a read of its file would hold a thread, and so the process, until somebody writes. */
function streamOf(descriptor: number, stats: Stats): Readable {
  if (stats.isFIFO()) return new Socket({ fd: descriptor, readable: true, writable: false })
  return createReadStream('', { fd: descriptor, highWaterMark: chunkBytes })
}

function directoryFailure(file: string, descriptor: number): CommandFailure {
  closeSync(descriptor)
  return new CommandFailure(Failure.IO, `${file} is a directory`, { details: { errno: constants.errno.EISDIR } })
}

/** The whole text of a file, or of stdin. */
export async function readText(file: string): Promise<string> {
  const input = await openInput(file)
  try {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of input.stream as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > textBytesMax) throw new CommandFailure(Failure.TOO_LARGE, `${input.name} is too long`)
    }
    return Buffer.concat(chunks)
      .toString('utf8')
      .replace(/^\ufeff/, '')
  } finally {
    input.close()
  }
}

/** Where a long text goes. */
export interface Output {
  write(text: string): Promise<void>
  /** Everything was written. */
  finish(): Promise<void>
  /** It will not be finished: leaves nothing behind. Does nothing after `finish`. */
  abandon(): Promise<void>
}

async function statIfThere(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function writeAll(handle: FileHandle, text: string): Promise<void> {
  const bytes = Buffer.from(text)
  try {
    for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten
  } catch (error) {
    throw orReaderGone(error)
  }
}

/**
 * Opens a file to be written as a whole: under its name there is always the old text or all of the new one.
 * A device or a pipe is written to as it is.
 *
 * `beforePart` is called just before there is something to tidy: from there on a signal must not end the process.
 */
export async function openOutput(file: string, beforePart: () => void): Promise<Output> {
  const existing = await statIfThere(file)
  if (existing !== undefined && !existing.isFile()) {
    const handle = await open(file, 'w')
    const close = (): Promise<void> => handle.close()
    return { write: (text) => writeAll(handle, text), finish: close, abandon: close }
  }
  // Through a link to what it names: the link stays one.
  const target = existing === undefined ? file : await realpath(file)
  const beside = `${target}.${process.pid}.part`
  const mode = existing === undefined ? modeOfNewFile : existing.mode & permissions
  beforePart()
  const handle = await open(beside, 'wx', mode)
  let isOpen = true
  return {
    write: (text) => writeAll(handle, text),
    async finish() {
      await handle.sync()
      isOpen = false
      await handle.close()
      await rename(beside, target)
    },
    async abandon() {
      if (!isOpen) return
      isOpen = false
      await handle.close()
      await rm(beside, { force: true })
    },
  }
}
