// Opens a store, gets one memory, prints the milliseconds. A process of its own, so that nothing is warm but the files.

import { loadPeer } from './peers/index.mjs'

const { subject, dimensions, path, id } = JSON.parse(process.argv[2])
const { open } = await loadPeer(subject)
const begin = performance.now()
const opened = await open(path, { dimensions, durability: 'flush' })
const memory = await opened.get(id)
const milliseconds = performance.now() - begin
if (memory.id !== id) throw new Error(`${id} is not there`)
console.log(milliseconds)
await opened.close()
