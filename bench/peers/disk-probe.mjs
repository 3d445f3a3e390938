// What the device costs: a pwrite of a memory's bytes and an fdatasync, into a file whose space was written and
// synced before. Nothing is found again, so it is a reference and no peer.

import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs'

export const name = 'pwrite + fdatasync'
export const packageName = undefined
export const reference = true
export const keepsNothing = true
export const settings = { each: 'file written with zeros in chunks of 64 KiB and synced before' }

const chunk = 64 * 1024

export function open(path, { space = 64 * 1024 * 1024 }) {
  const file = openSync(path, 'w+')
  const zeros = Buffer.alloc(chunk)
  for (let at = 0; at < space; at += chunk) writeSync(file, zeros, 0, chunk, at)
  fsyncSync(file)
  let end = 0
  return {
    putMany() {},
    /** The bytes lie in one buffer already: nothing but the write and the sync is timed. */
    prepare({ id, embedding, content, metadata }) {
      const floats = Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength)
      return Buffer.concat([floats, Buffer.from(id + content + JSON.stringify(metadata)), Buffer.alloc(16)])
    },
    putDurable(bytes) {
      if (end + bytes.length > space) end = 0
      writeSync(file, bytes, 0, bytes.length, end)
      fdatasyncSync(file)
      end += bytes.length
    },
    close: () => closeSync(file),
  }
}
