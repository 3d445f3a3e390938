// For the tests in TypeScript.

export function encodeFloat16(value: number): number
export function decodeFloat16(half: number): number
export function decodeFloat16Array(bytes: Buffer): Float32Array
