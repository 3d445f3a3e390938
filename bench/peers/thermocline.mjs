// Ours, by the public contract alone. By path and not by name: bench/ is a package of its own.

import { open as openStore } from '../../dist/index.mjs'

export const name = 'thermocline'
export const packageName = 'thermocline'
export const settings = {
  process: "durability 'none'",
  flush: "durability 'flush'; flush()",
  each: "durability 'flush'; put, flush()",
}

/** Not synced, or durable at `flush`. */
export function open(path, { dimensions, durability, search = 'exact' }) {
  const exact = search === 'exact'
  const store = openStore(path, { dimensions, durability: durability === 'process' ? 'none' : 'flush' })
  return {
    store,
    putMany: (memories) => void store.putMany(memories),
    put: (memory) => void store.put(memory),
    async putDurable(memory) {
      store.put(memory)
      await store.flush()
    },
    get: (id) => store.get(id),
    readView(id) {
      const view = store.view(id)
      return view.embedding[0] + view.confidence + view.createdAt
    },
    readAll(visit) {
      for (const memory of store.entries()) visit(memory)
    },
    update: (id, content) => void store.update(id, { content }),
    search: (query, limit) => store.searchSync(query, { limit, exact }).map(({ memory }) => memory.id),
    searchAndRead: (query, limit) => store.searchSync(query, { limit, exact }).map(({ memory }) => memory),
    efforts: ['default'],
    setEffort() {},
    flush: () => store.flush(),
    close: () => store.close(),
  }
}
