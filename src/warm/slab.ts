// Room for embeddings that are handed out: one buffer for many, because a new ArrayBuffer costs more than a copy.

/** Room for some forty embeddings of 384 elements. Larger slabs gain nothing and are kept alive by one embedding. */
const slabElementsMin = 16 * 1024
const slabEmbeddingsMin = 4

/**
 * A slab for embeddings of `dimensions`. Not zeroed, which would cost more than filling it: what is not written yet is as
 * in a Buffer of Node's own pool.
 */
export function makeSlab(dimensions: number): Float32Array<ArrayBuffer> {
  const elements = Math.max(slabElementsMin, slabEmbeddingsMin * dimensions)
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(elements * Float32Array.BYTES_PER_ELEMENT)
  return new Float32Array(buffer as ArrayBuffer, byteOffset, elements)
}
