// What hot hands out is what the store has at this moment, whoever wrote, touched, deleted, moved or compacted meanwhile.
//
// Goal: a hot read that does not look its memory up again must know when it has to.
// Method: random steps by another handle, and after each every memory read hot and beside it from warm and cold alone.

import { type MemoryStore, openTiered } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { makeRandom } from '../../bench/workload.mjs'
import { temporaryDirectory } from '../support/temporary.js'

const ids = Array.from({ length: 12 }, (_, at) => `m${at}`)

async function step(other: MemoryStore, id: string, random: () => number): Promise<string> {
  const dice = random()
  const embedding = [random(), 1]
  if (dice < 0.25) other.put({ id, embedding, content: `put ${random()}`, activation: 1 })
  else if (dice < 0.4) other.update(id, { content: `updated ${random()}` })
  else if (dice < 0.7) other.touch(id, { activation: 0.8 + random() / 5 })
  else if (dice < 0.8) other.delete(id)
  else if (dice < 0.9) await other.maintain({ demote: [id] })
  else {
    await other.compact()
    for (const each of ids) other.touch(each, { activation: 0.8 + random() / 5 })
    return 'compact, touch all'
  }
  return `${dice.toFixed(3)} ${id}`
}

test('a hot read is of the newest record and has the statistics of now, whatever another handle does', async () => {
  const seed = 41_207
  const random = makeRandom(seed)
  const directory = temporaryDirectory()
  const options = { dimensions: 2, durability: 'none', mover: false } as const
  const store = openTiered(directory, options)
  const other = openTiered(directory, { ...options, hot: { bytes: 0 } })
  onTestFinished(() => {
    store.close()
    other.close()
  })
  store.putMany(ids.map((id) => ({ id, content: id, embedding: [1, 0], activation: 1 })))
  const steps: string[] = []
  for (let at = 0; at < 400; at++) {
    steps.push(await step(other, ids[Math.floor(random() * ids.length)] as string, random))
    for (const id of ids) {
      const found = store.get(id)
      expect(found, `seed ${seed}, after ${steps.slice(-3).join('; ')}: ${id}`).toEqual(other.get(id))
      if (found?.embedding) found.embedding.fill(9) // the caller's own
    }
  }
  const { hot } = store.stats().tiers
  expect(hot.hits).toBeGreaterThan(hot.reads / 2)
})
