// What memory costs: reading as many bytes as an exact search must, by a small program (bandwidth.c) that does nothing
// else with them. A reference and no peer.

import { measureBandwidth } from '../bandwidth.mjs'

export const name = 'memory, read once'
export const packageName = undefined
export const reference = true
export const keepsNothing = true
export const settings = { process: 'bandwidth.c: sums a buffer of the same size, huge pages if the system gives them' }

export function open(_path, { threads = 0 }) {
  return {
    /** Microseconds of each pass over `bytes`. */
    measure: (bytes) => measureBandwidth(bytes, threads).microseconds,
    putMany() {},
    close() {},
  }
}
