// Texts as words: a list of the words of a block, the frequent ones first, and the number of each word in turn, low and
// high bytes apart. What is left for the codec is mostly one byte a word. Pays where memories say much in few words;
// whoever writes a file tries and takes what is smaller.
//
//   u32 words in the list | u32 words in the text | u8 lengths of the list | list | low bytes | high bytes
//
// Bytes, not characters: any text comes back, well-formed or not.

import { coldCorrupt } from './cold-damage'

const headBytes = 8
const listMax = 65_536
/** A run of letters and digits with the space after it, or one byte of anything else. */
const wordPattern = /[A-Za-z0-9\x80-\xff]{1,254} ?|[\s\S]/g

/** The words of these bytes; undefined when there are too many different ones. */
export function encodeWords(bytes: Buffer): Buffer | undefined {
  const words = bytes.toString('latin1').match(wordPattern) ?? []
  const found = new Map<string, number>()
  const counts: number[] = []
  const sequence = new Uint32Array(words.length)
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string
    let number = found.get(word)
    if (number === undefined) {
      number = counts.length
      found.set(word, number)
      counts.push(0)
    }
    counts[number] = (counts[number] as number) + 1
    sequence[at] = number
  }
  if (found.size > listMax) return undefined
  const all = [...found.keys()]
  const byCount = counts.map((_, number) => number).sort((a, b) => (counts[b] as number) - (counts[a] as number))
  const rank = new Uint32Array(byCount.length)
  for (const [place, number] of byCount.entries()) rank[number] = place
  const list = byCount.map((number) => all[number] as string)
  const head = Buffer.alloc(headBytes)
  head.writeUInt32LE(list.length, 0)
  head.writeUInt32LE(words.length, 4)
  const low = Buffer.alloc(words.length)
  const high = Buffer.alloc(words.length)
  for (let at = 0; at < words.length; at++) {
    const number = rank[sequence[at] as number] as number
    low[at] = number & 0xff
    high[at] = number >>> 8
  }
  const lengths = Buffer.from(Uint8Array.from(list, ({ length }) => length))
  return Buffer.concat([head, lengths, Buffer.from(list.join(''), 'latin1'), low, high])
}

/** Undoes `encodeWords`. CORRUPT unless exactly `length` bytes come out. `offset`: of the block, for the error. */
export function decodeWords(packed: Buffer, length: number, offset: number): Buffer {
  if (packed.length < headBytes) throw coldCorrupt('its words', offset)
  const listLength = packed.readUInt32LE(0)
  const count = packed.readUInt32LE(4)
  const listAt = headBytes + listLength
  const numbersAt = packed.length - 2 * count
  if (listLength > listMax || numbersAt < listAt) throw coldCorrupt('its words', offset)
  const list: Buffer[] = []
  let at = listAt
  for (let number = 0; number < listLength; number++) {
    const end = at + (packed[headBytes + number] as number)
    list.push(packed.subarray(at, end))
    at = end
  }
  if (at !== numbersAt) throw coldCorrupt('its words', offset)
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  for (let place = 0; place < count; place++) {
    const number = (packed[numbersAt + place] as number) | ((packed[numbersAt + count + place] as number) << 8)
    const word = list[number]
    if (word === undefined || filled + word.length > length) throw coldCorrupt('its words', offset)
    for (let byte = 0; byte < word.length; byte++) bytes[filled++] = word[byte] as number
  }
  if (filled !== length) throw coldCorrupt('its words', offset)
  return bytes
}
