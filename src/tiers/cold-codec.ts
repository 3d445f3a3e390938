// The compression of texts and directories in cold files, by the codec that a file names.

import { promisify } from 'node:util'
import { brotliCompress, brotliDecompressSync, constants, deflateRaw, inflateRawSync } from 'node:zlib'
import { coldCorrupt } from './cold-damage'
import type { ColdCodec } from './types'

const compressBrotli = promisify(brotliCompress)
export const compressDeflate = promisify(deflateRaw)

const brotliQuality = 5
export const coldCodecs: readonly ColdCodec[] = ['brotli', 'deflate']

/** On another thread. */
export function compress(codec: ColdCodec, bytes: Uint8Array): Promise<Buffer> {
  if (codec === 'deflate') return compressDeflate(bytes)
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: brotliQuality,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  }
  return compressBrotli(bytes, { params })
}

/** Undoes `compress`. CORRUPT unless exactly `rawBytes` come out. */
export function decompress(codec: ColdCodec, bytes: Uint8Array, rawBytes: number, offset: number): Buffer {
  let raw: Buffer
  try {
    const options = { maxOutputLength: Math.max(1, rawBytes) }
    raw = codec === 'deflate' ? inflateRawSync(bytes, options) : brotliDecompressSync(bytes, options)
  } catch (error) {
    throw coldCorrupt(String((error as Error).message), offset)
  }
  if (raw.length !== rawBytes) throw coldCorrupt('a block of another size than the directory says', offset)
  return raw
}
