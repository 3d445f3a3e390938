// Goal: a file that somebody cuts short while processes have it mapped ends none of them. Method: two processes of two
// threads each read and write in every way, through calls and through views, while this one cuts one file after another.

import { cpSync, statSync, truncateSync } from 'node:fs'
import { expectNone, isNightly, processTest } from './support/scene.js'

const dimensions = 64
const memories = 300 // a second segment among them
const cutsPerFile = isNightly ? 40 : 1
const pageBytes = 4096
const allowed = new Set(['THERMOCLINE_CORRUPT', 'THERMOCLINE_IO', 'THERMOCLINE_POISONED'])

processTest('processes that read a store whose files are cut are told, and live', async (scene) => {
  const original = scene.path('original')
  const store = scene.open(original, { dimensions })
  for (let number = 0; number < memories; number++) {
    store.put({
      id: `m${number}`,
      embedding: new Float32Array(dimensions).fill(number),
      content: `content ${number}`,
    })
  }
  store.close()
  const problems: string[] = []
  for (const name of ['1.log', '1.blocks', '2.blocks', 'cache', 'lock']) {
    for (let round = 0; round < cutsPerFile; round++) {
      const directory = scene.path(`${name} ${round}`)
      cpSync(original, directory, { recursive: true })
      const children = [1, 2].map(() => scene.start('cut-reader.mjs', { directory, dimensions, memories }))
      for (const child of children) {
        const [ready] = (await child.next('ready')) as unknown as [{ problems: string[] }]
        problems.push(...ready.problems)
      }
      const file = `${directory}/${name}`
      const pages = round === 0 ? 0 : scene.below(Math.ceil(statSync(file).size / pageBytes))
      truncateSync(file, pages * pageBytes)
      for (const child of children) child.send({ type: 'cut' })
      for (const child of children) {
        const [read] = (await child.next('read')) as unknown as [{ codes: Record<string, number>; problems: string[] }]
        const codes = Object.keys(read.codes)
        problems.push(...read.problems.map((problem) => `${name} ${pages}: ${problem}`))
        problems.push(...codes.filter((code) => !allowed.has(code)).map((code) => `${name} ${pages}: ${code}`))
        if (pages === 0 && codes.length === 0) problems.push(`${name}: nobody was told`)
        await child.expectSuccess()
      }
    }
  }
  expectNone(problems)
})
