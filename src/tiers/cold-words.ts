// Texts as words: one list for a file, the frequent ones first, and for each block the numbers of its words in turn. What
// is left for the codec is a byte or two a word. Pays for prose, and where memories say much in few words; whoever
// writes a file tries and takes what is smaller.
//
//   list:  u32 words | u8 length of each | the words
//   block: u32 numbers | u8 first byte of the last | first byte of each | further bytes of each
//
// A word is a run of letters and digits, or a run of anything else, of at most 255 bytes. One space between two runs of
// letters is left out; two of them with nothing between have the word without bytes there. Bytes, not characters: any
// text comes back, well-formed or not.
//
// A number below 80 is its first byte; the next 44,800 have 80 to 254 there, for the high byte, and the low one further
// on; the others have 255 there, and three bytes further on, the low one first. First bytes lie by the first byte before
// them (0 before the first): what follows the same is alike. To order further bytes in such ways gains nothing.

import { bufferOf } from './bytes'
import { coldCorrupt } from './cold-damage'

const listHeadBytes = 4
const blockHeadBytes = 5
const wordBytesMax = 255
const wordsMax = 2 ** 24
const twoBytesFrom = 80
const threeBytesMark = 255
const fourBytesFrom = twoBytesFrom + (threeBytesMark - twoBytesFrom) * 256
/** Both together fit into the 53 bits of a double. */
const countsMax = 2 ** 13 - 1
const frontBytes = 5
const space = 0x20
const none = 0xffffffff

const isLetter = Uint8Array.from({ length: 256 }, (_, byte) => {
  return byte >= 0x80 || /[A-Za-z0-9]/.test(String.fromCharCode(byte)) ? 1 : 0
})

/** Makes the list and the blocks of a file: `add` for each block, then `list`, then `encode` for each. */
export class WordEncoder {
  /** All texts of the file, one after another. */
  readonly #text: Buffer
  // Of each word, by order of appearance.
  readonly #at: number[] = []
  readonly #lengths: number[] = []
  readonly #hashes: number[] = []
  readonly #counts: number[] = []
  /** Words by hash; open addressing. */
  #table = new Uint32Array(1 << 12).fill(none)
  readonly #blocks: Uint32Array[] = []
  /** Number in the list by order of appearance. */
  #numbers = new Uint32Array(0)

  constructor(text: Uint8Array) {
    this.#text = bufferOf(text)
  }

  /** The next block: texts that end at these places of the file's, the first of which begins at `begin`. */
  add(begin: number, ends: readonly number[]): void {
    const text = this.#text
    const words = new GrowingList()
    let isAfterLetters = false
    let at = begin
    for (const end of ends) {
      while (at < end) {
        const kind = isLetter[text[at] as number] as number
        if (isAfterLetters && text[at] === space && at + 1 < end && isLetter[text[at + 1] as number] === 1) {
          isAfterLetters = false // what is read next is a run of letters: the space is understood
          at += 1
          continue
        }
        if (isAfterLetters && kind === 1) words.push(this.#find(at, 0, 0))
        const from = at
        const last = Math.min(end, from + wordBytesMax)
        let hash = 0x811c9dc5
        for (; at < last && isLetter[text[at] as number] === kind; at++) {
          hash = Math.imul(hash ^ (text[at] as number), 0x01000193)
        }
        words.push(this.#find(from, at - from, hash))
        isAfterLetters = kind === 1
      }
    }
    this.#blocks.push(words.taken())
  }

  /** A word by order of appearance, counted. */
  #find(at: number, length: number, hash: number): number {
    const mask = this.#table.length - 1
    let slot = (hash ^ (hash >>> 15)) & mask
    for (; this.#table[slot] !== none; slot = (slot + 1) & mask) {
      const word = this.#table[slot] as number
      if (this.#hashes[word] !== hash || this.#lengths[word] !== length || !this.#isSame(word, at, length)) continue
      this.#counts[word] = (this.#counts[word] as number) + 1
      return word
    }
    const word = this.#at.push(at) - 1
    this.#lengths.push(length)
    this.#hashes.push(hash)
    this.#counts.push(1)
    this.#table[slot] = word
    if (2 * this.#at.length > this.#table.length) this.#grow()
    return word
  }

  #isSame(word: number, at: number, length: number): boolean {
    const other = this.#at[word] as number
    for (let byte = 0; byte < length; byte++) if (this.#text[other + byte] !== this.#text[at + byte]) return false
    return true
  }

  #grow(): void {
    const table = new Uint32Array(2 * this.#table.length).fill(none)
    const mask = table.length - 1
    for (const [word, hash] of this.#hashes.entries()) {
      let slot = (hash ^ (hash >>> 15)) & mask
      while (table[slot] !== none) slot = (slot + 1) & mask
      table[slot] = word
    }
    this.#table = table
  }

  /** The list; undefined when there are more words than numbers. */
  list(): Uint8Array | undefined {
    const count = this.#at.length
    if (count > wordsMax) return undefined
    // By how often they come, for the numbers; then by their first bytes, because most come as seldom as many others,
    // and what is alike compresses better side by side.
    const keys = new Float64Array(count)
    for (let word = 0; word < count; word++) {
      const seldom = countsMax - Math.min(this.#counts[word] as number, countsMax)
      keys[word] = seldom * 256 ** frontBytes + this.#front(word)
    }
    const order = Uint32Array.from(keys, (_, word) => word)
    order.sort((a, b) => (keys[a] as number) - (keys[b] as number) || a - b)
    this.#numbers = new Uint32Array(count)
    const lengths = Buffer.alloc(count)
    const words: Buffer[] = []
    for (const [number, word] of order.entries()) {
      const at = this.#at[word] as number
      const length = this.#lengths[word] as number
      this.#numbers[word] = number
      lengths[number] = length
      words.push(this.#text.subarray(at, at + length))
    }
    const head = Buffer.alloc(listHeadBytes)
    head.writeUInt32LE(count, 0)
    return Buffer.concat([head, lengths, ...words])
  }

  /** The first bytes of a word as a number. */
  #front(word: number): number {
    const at = this.#at[word] as number
    const length = this.#lengths[word] as number
    let front = 0
    for (let byte = 0; byte < frontBytes; byte++)
      front = front * 256 + (byte < length ? (this.#text[at + byte] as number) : 0)
    return front
  }

  /** A block by its place among those that were added. */
  encode(block: number): Uint8Array {
    const words = this.#blocks[block] as Uint32Array
    const numbers = words.map((word) => this.#numbers[word] as number)
    const firsts = Uint8Array.from(numbers, firstByte)
    const last = firsts[firsts.length - 1] ?? 0
    const next = placesAfter(firsts, last)
    let further = blockHeadBytes + firsts.length
    const bytes = Buffer.alloc(further + firsts.reduce((sum, first) => sum + furtherBytes(first), 0))
    bytes.writeUInt32LE(words.length, 0)
    bytes.writeUInt8(last, 4)
    let before = 0
    for (let at = 0; at < numbers.length; at++) {
      const first = firsts[at] as number
      bytes[blockHeadBytes + (next[before] as number)] = first
      next[before] = (next[before] as number) + 1
      before = first
      const width = furtherBytes(first)
      if (width === 0) continue
      const number = numbers[at] as number
      if (width === 1) bytes[further] = (number - twoBytesFrom) & 0xff
      else bytes.writeUIntLE(number - fourBytesFrom, further, width)
      further += width
    }
    return bytes
  }
}

function firstByte(number: number): number {
  if (number < twoBytesFrom) return number
  return number < fourBytesFrom ? twoBytesFrom + ((number - twoBytesFrom) >>> 8) : threeBytesMark
}

/** How many bytes follow a first byte. */
function furtherBytes(first: number): number {
  if (first < twoBytesFrom) return 0
  return first === threeBytesMark ? 3 : 1
}

/** Where the first bytes that follow each byte begin: all but the last come before another, and 0 before the first. */
function placesAfter(firsts: Uint8Array, last: number): Uint32Array {
  const places = new Uint32Array(257)
  for (let at = 0; at < firsts.length; at++) {
    const after = (firsts[at] as number) + 1
    places[after] = (places[after] as number) + 1
  }
  places[1] = (places[1] as number) + 1
  places[last + 1] = (places[last + 1] as number) - 1
  for (let byte = 0; byte < 256; byte++) places[byte + 1] = (places[byte + 1] as number) + (places[byte] as number)
  return places
}

/** Numbers, as many as come. */
class GrowingList {
  #numbers = new Uint32Array(1 << 14)
  #count = 0

  push(number: number): void {
    if (this.#count === this.#numbers.length) {
      const larger = new Uint32Array(2 * this.#count)
      larger.set(this.#numbers)
      this.#numbers = larger
    }
    this.#numbers[this.#count++] = number
  }

  taken(): Uint32Array {
    return this.#numbers.slice(0, this.#count)
  }
}

/** The list of words of a file, as it was read. */
export class WordList {
  readonly #words: Buffer
  /** Where each word ends. */
  readonly #ends: Uint32Array

  /** CORRUPT unless the bytes are a list. `offset`: of the list in its file, for the error. */
  constructor(file: Uint8Array, offset: number) {
    const bytes = bufferOf(file)
    const count = bytes.length < listHeadBytes ? Infinity : bytes.readUInt32LE(0)
    if (listHeadBytes + count > bytes.length) throw coldCorrupt('its words', offset)
    this.#words = bytes.subarray(listHeadBytes + count)
    this.#ends = new Uint32Array(count)
    let end = 0
    for (let number = 0; number < count; number++) {
      end += bytes[listHeadBytes + number] as number
      this.#ends[number] = end
    }
    if (end !== this.#words.length) throw coldCorrupt('its words', offset)
  }

  /** Bytes that it takes in memory. */
  get bytes(): number {
    return this.#words.length + this.#ends.byteLength
  }

  /** Undoes `WordEncoder.encode`. CORRUPT unless exactly `length` bytes come out. `offset`: of the block. */
  decode(coded: Uint8Array, length: number, offset: number): Uint8Array {
    const packed = bufferOf(coded)
    const count = packed.length < blockHeadBytes ? Infinity : packed.readUInt32LE(0)
    if (blockHeadBytes + count > packed.length) throw coldCorrupt('its words', offset)
    const firsts = packed.subarray(blockHeadBytes, blockHeadBytes + count)
    const last = packed[4] as number
    if (count > 0 && !firsts.includes(last)) throw coldCorrupt('its words', offset)
    const starts = placesAfter(firsts, last)
    const next = starts.slice()
    let further = blockHeadBytes + count
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    let isAfterLetters = false
    let before = 0
    for (let at = 0; at < count; at++) {
      const place = next[before] as number
      // Damaged ones may lead round and round among some of them.
      if (place === starts[before + 1]) throw coldCorrupt('its words', offset)
      next[before] = place + 1
      before = firsts[place] as number
      const width = furtherBytes(before)
      let number = before
      if (further + width > packed.length) throw coldCorrupt('its words', offset)
      if (width === 1) number = twoBytesFrom + (((before - twoBytesFrom) << 8) | (packed[further] as number))
      else if (width > 1) number = fourBytesFrom + packed.readUIntLE(further, width)
      further += width
      if (number >= this.#ends.length) throw coldCorrupt('its words', offset)
      const from = number === 0 ? 0 : (this.#ends[number - 1] as number)
      const to = this.#ends[number] as number
      const isLetters = from < to && isLetter[this.#words[from] as number] === 1
      const isSpaced = isLetters && isAfterLetters
      if (filled + to - from + (isSpaced ? 1 : 0) > length) throw coldCorrupt('its words', offset)
      if (isSpaced) bytes[filled++] = space
      for (let byte = from; byte < to; byte++) bytes[filled++] = this.#words[byte] as number
      isAfterLetters = isLetters
    }
    if (filled !== length || further !== packed.length) throw coldCorrupt('its words', offset)
    return bytes
  }
}
