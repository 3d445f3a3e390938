// Searches of two tiers whose memories move under every attempt, so that hits of several moments are united.
//
// Goal: a memory that was seen in cold and in warm is told once, and none that moves is missed.
// Method: a promotion in every turn of the event loop. A scan of cold holds the snapshot that was pinned before warm was
// searched; the threads that search warm are kept busy, so warm is looked at turns later, and has what was promoted since.

import { pbkdf2 } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { openTiered } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'

const ids = Array.from({ length: 400 }, (_, at) => `m${at}`)
const poolThreads = 4
const rounds = 2

test('a search tells each memory once, and all of them, while they come back from cold', async () => {
  const store = openTiered(temporaryDirectory(), {
    dimensions: 2,
    durability: 'none',
    mover: false,
    hot: { bytes: 0 },
    cold: { segmentMemories: 100 },
  })
  onTestFinished(() => store.close())
  store.putMany(ids.map((id, at) => ({ id, embedding: [1, at / 100] })))
  let united = 0
  for (let round = 0; round < rounds; round++) {
    await store.maintain({ demote: ids })
    let isBusy = true
    const keepBusy = (): void => {
      if (isBusy) pbkdf2('a', 'b', 3000, 32, 'sha256', keepBusy)
    }
    for (let thread = 0; thread < poolThreads; thread++) keepBusy()
    let promoted = 0
    while (promoted < ids.length) {
      const before = promoted
      let isDone = false
      const searching = store.search([1, 0], { limit: ids.length * 3 }).finally(() => {
        isDone = true
      })
      while (!isDone && promoted < ids.length) {
        store.touch(ids[promoted++] as string)
        await setImmediate()
      }
      const found = (await searching).map(({ memory }) => memory.id)
      expect(found.length, `round ${round}, promoted ${before} to ${promoted}`).toBe(new Set(found).size)
      expect(new Set(found)).toEqual(new Set(ids))
      if (promoted - before > 3) united += 1
    }
    isBusy = false
  }
  expect(united).toBeGreaterThan(0)
})
