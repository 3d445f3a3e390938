// A Map of live objects that copies nothing and keeps nothing after the process: the ceiling for any store that
// returns decoded objects. No peer: no target is judged by it.

export const name = 'Map'
export const packageName = undefined
export const ceiling = true
export const keepsNothing = true
export const settings = { process: 'the objects given, no copy' }

export function open() {
  const memories = new Map()
  return {
    putMany(given) {
      for (const memory of given) memories.set(memory.id, memory)
    },
    put: (memory) => void memories.set(memory.id, memory),
    get: (id) => memories.get(id),
    readView(id) {
      const { embedding, confidence, createdAt } = memories.get(id)
      return embedding[0] + confidence + createdAt
    },
    readAll: (visit) => memories.forEach(visit),
    close() {},
  }
}
