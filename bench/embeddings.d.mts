export const demoFile: string
export const heldBack: number
export function describeEmbeddings(file: string): { bytes: Buffer; dimensions: number; rows: number }
export function openEmbeddings(file: string): {
  dimensions: number
  embedding(number: number): Float32Array
  query(number: number): Float32Array
}
