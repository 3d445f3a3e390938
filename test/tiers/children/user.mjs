// Writes and reads memories of its own while others move them, `rounds` times at least and until there is a file
// `<directory>.stop`. As a program: argv directory, name, rounds. As a worker:
// the same as workerData. Ends with an exception when a read is not what it wrote last.

import { existsSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { openTiered } from 'thermocline'

const [directory, name, rounds] = isMainThread ? process.argv.slice(2) : workerData
const store = openTiered(directory, {
  mover: false,
  hot: { bytes: 20_000 },
  cold: { segmentMemories: 64, cacheBytes: 100_000 },
})
const last = new Map()
const own = 40

function check(id) {
  const wanted = last.get(id)
  const found = store.get(id)
  if (found?.content !== wanted) throw new Error(`${id} is ${found?.content} instead of ${wanted}`)
  if (found !== undefined && found.embedding[0] !== Number(wanted.split(' ')[1])) throw new Error(`${id} is torn`)
}

// Until the mover has done enough, however fast this is, or the test has ended and its directory is gone.
const goesOn = () => !existsSync(`${directory}.stop`) && existsSync(directory)
for (let round = 1; round <= Number(rounds) || goesOn(); round++) {
  const id = `${name}-${(round * 7) % own}`
  const kind = round % 10
  if (kind === 0) {
    if (store.delete(id) !== last.delete(id)) throw new Error(`delete ${id}`)
  } else if (kind === 1 && last.has(id)) {
    const content = `${last.get(id)}!`
    if (!store.update(id, { content })) throw new Error(`${id} was lost`)
    last.set(id, content)
  } else if (kind < 5) {
    const content = `${name} ${round} `
    store.put({ id, embedding: [round, 1], content })
    last.set(id, content)
  } else if (kind === 5 && last.has(id)) {
    if (!store.touch(id)) throw new Error(`${id} was lost to touch`)
  }
  check(id)
  check(`${name}-${(round * 13) % own}`)
  if (round % 50 === 0) {
    const ids = [...store.entries()].flatMap((memory) => (memory.id.startsWith(`${name}-`) ? [memory.id] : []))
    if (ids.length !== last.size || new Set(ids).size !== ids.length) {
      throw new Error(`${ids.length} entries (${new Set(ids).size} ids) instead of ${last.size}`)
    }
    const hits = await store.search([1, 1], { limit: 10_000, filter: { id: { prefix: `${name}-` } } })
    if (hits.length !== last.size) throw new Error(`${hits.length} hits instead of ${last.size}`)
  }
}
store.close()
if (isMainThread) process.stdout.write(JSON.stringify([...last]))
else parentPort.postMessage([...last])
