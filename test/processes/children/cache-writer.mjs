// Writes the first operations of scripts that its parent knows into one store each, and says so. Then it goes on
// writing (`live`) or waits, until it is told to close or is killed.
//
// Goes on in steps of a few operations and a turn of the event loop, so that it hears its parent.

import { open } from 'thermocline'
import { hear, leave, task, tell } from './parent.mjs'
import { runScript } from './script.mjs'

const stores = task.scripts.map(({ path, durability }) => open(path, { dimensions: task.dimensions, durability }))
const done = stores.map(() => 0)
function writeUpTo(at, end) {
  for (; done[at] < end; done[at]++) runScript(stores[at], task.scripts[at].seed, done[at], task.dimensions)
}
task.scripts.forEach(({ operations }, at) => {
  writeUpTo(at, operations)
})
tell({ type: 'written' })

let isEnded = false
const end = hear('end').then(() => {
  isEnded = true
})
while (task.live && !isEnded) {
  stores.forEach((_, at) => {
    writeUpTo(at, done[at] + 8)
  })
  tell({ type: 'progress', done: done[0] })
  await new Promise((resolve) => setImmediate(resolve))
}
await end
for (const store of stores) store.close()
leave()
