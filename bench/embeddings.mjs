// Embeddings of real text for the workload, from a file of half-precision rows: NumPy's format or rows alone.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { decodeFloat16Array } from '../demo/float16.mjs'

/** The demo's: 2,400 sentences, too few for sketches to be used, enough to see that it runs. */
export const demoFile = fileURLToPath(new URL('../demo/embeddings-512.f16', import.meta.url))
const demoDimensions = 512

/** Rows of the file that are asked for and never stored. */
export const heldBack = 200

/** Rows, dimensions and where they begin. Throws an Error with one line for people. */
export function describeEmbeddings(file) {
  const bytes = readFileSync(file)
  if (bytes.toString('latin1', 1, 6) !== 'NUMPY') {
    return { bytes, dimensions: demoDimensions, rows: bytes.length / 2 / demoDimensions }
  }
  const headerBytes = bytes.readUInt16LE(8)
  const header = bytes.toString('latin1', 10, 10 + headerBytes)
  const [, rows, dimensions] = /'shape': \((\d+), (\d+)\)/.exec(header) ?? []
  if (rows === undefined || !header.includes("'<f2'")) throw new Error(`${file} has no rows of half precision`)
  return { bytes: bytes.subarray(10 + headerBytes), dimensions: Number(dimensions), rows: Number(rows) }
}

function normalise(row) {
  const length = Math.hypot(...row)
  return row.map((value) => value / length)
}

/** `embedding(i)` of a stored row and `query(i)` of one held back. The last rows are those. */
export function openEmbeddings(file) {
  const { bytes, dimensions, rows } = describeEmbeddings(file)
  const rowBytes = dimensions * 2
  const read = (row) => normalise(decodeFloat16Array(bytes.subarray(row * rowBytes, (row + 1) * rowBytes)))
  return {
    dimensions,
    embedding: (number) => read(number % (rows - heldBack)),
    query: (number) => read(rows - heldBack + (number % heldBack)),
  }
}
