// Bytes as Node reads them. Apart from what uses it, because declarations of types that consumers see name no type of
// Node's, which a consumer need not have.

/** The same bytes, not a copy. */
export function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
