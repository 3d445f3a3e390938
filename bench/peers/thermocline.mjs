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
  let how = search === 'exact' ? { exact: true } : {}
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
    search: (query, limit) => store.searchSync(query, { limit, ...how }).map(({ memory }) => memory.id),
    searchMany: async (queries, limit) =>
      (await store.searchMany(queries, { limit, ...how })).map((hits) => hits.map(({ memory }) => memory.id)),
    searchAndRead: (query, limit) => store.searchSync(query, { limit, ...how }).map(({ memory }) => memory),
    /** The share of true hits asked for; nothing is asked for in `untuned`, which is what an application gets. */
    efforts: [0.5, 0.8, 0.9, 0.95, 'default', 0.999],
    untuned: 'default',
    setEffort(recall) {
      how = recall === 'default' ? {} : { recall }
    },
    flush: () => store.flush(),
    close: () => store.close(),
  }
}
