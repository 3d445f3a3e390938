// putMany with frames so large that one is committed while the next is gathered.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type MemoryInput, open, type Store } from 'thermocline'
import { describe, expect, test } from 'vitest'
import { failureOf, shortCode } from '../support/failures.js'
import { temporaryStore } from '../support/temporary.js'

const dimensions = 256
const frame = 256

const texts = ['plain', 'ünïcödé', '日本語のテキスト', '🦊🦊', 'a"quote\\', '', 'x'.repeat(3000), '\u0000\u007f\u0080']

function embeddingOf(index: number): Float32Array | null {
  if (index % 11 === 3) return null
  return Float32Array.from({ length: dimensions }, (_, at) => Math.fround(Math.sin(index * 7 + at)))
}

function input(index: number): MemoryInput {
  return {
    id: `${texts[index % 3]}-${index}`,
    embedding: embeddingOf(index),
    content: index % 13 === 0 ? null : `${texts[index % texts.length]}${index}`,
    metadata: index % 5 === 0 ? {} : { index, text: texts[index % texts.length] as string },
    confidence: (index % 10) / 10,
    createdAt: index,
  }
}

function* inputs(count: number): Generator<MemoryInput> {
  for (let index = 0; index < count; index++) yield input(index)
}

function expectAll(store: Store, count: number): void {
  expect(store.size).toBe(count)
  for (let index = 0; index < count; index++) {
    const wanted = input(index)
    const found = store.get(wanted.id)
    if (found?.sequence !== index + 1) expect(found?.sequence).toBe(index + 1)
    expect(found).toMatchObject(wanted)
  }
}

describe('putMany of large frames', () => {
  test('every memory is as it was given, in order, also after reopening and a rebuild', async () => {
    const count = 800
    const { store, directory, again } = temporaryStore(open, { dimensions })
    expect(store.putMany(inputs(count))).toEqual({ count, lastSequence: count })
    expectAll(store, count)
    expect(await store.verify()).toMatchObject({ ok: true })
    store.close()
    const reopened = again()
    expectAll(reopened, count)
    reopened.close()
    rmSync(join(directory, 'cache'))
    const rebuilt = again()
    expectAll(rebuilt, count)
    expect(await rebuilt.verify()).toMatchObject({ ok: true })
  })

  test('what is bad is named, the frames before it are there, nothing after it is', () => {
    const items = [...inputs(4 * frame)]
    const notFinite = new Float32Array(dimensions).fill(1)
    notFinite[dimensions - 1] = Number.NaN
    for (const bad of [0, 5, frame - 1, frame, frame + 100, 2 * frame, 3 * frame + 255]) {
      for (const item of [{ id: 'x', embedding: notFinite }, { id: '' }]) {
        const { store } = temporaryStore(open, { dimensions })
        const error = failureOf(() => store.putMany(items.map((good, index) => (index === bad ? item : good))))
        const count = Math.floor(bad / frame) * frame
        expect([shortCode(error), error.details.count, error.details.index]).toEqual([
          'embedding' in item ? 'NOT_FINITE' : 'KEY_SIZE',
          count,
          bad,
        ])
        expect([store.size, store.sequence]).toEqual([count, count])
        expect(store.putMany(items)).toMatchObject({ count: items.length })
      }
    }
  })

  test('of two bad memories the first is named', () => {
    const { store } = temporaryStore(open, { dimensions })
    const items: MemoryInput[] = [...inputs(2 * frame)]
    items[frame + 3] = { id: 'x', embedding: new Float32Array(dimensions).fill(Number.POSITIVE_INFINITY) }
    items[frame + 4] = { id: '' }
    const error = failureOf(() => store.putMany(items))
    expect([shortCode(error), error.details.count, error.details.index]).toEqual(['NOT_FINITE', frame, frame + 3])
  })

  test('an iterator that throws leaves the whole frames before it', () => {
    const { store } = temporaryStore(open, { dimensions })
    const own = new Error('mine')
    expect(() =>
      store.putMany(
        (function* () {
          yield* inputs(3 * frame + 10)
          throw own
        })(),
      ),
    ).toThrow(own)
    expect(store.size).toBe(3 * frame)
  })

  test('an iterator that closes the store gets THERMOCLINE_CLOSED, and whole frames stay', () => {
    const { store, again } = temporaryStore(open, { dimensions })
    const error = failureOf(() =>
      store.putMany(
        (function* () {
          yield* inputs(2 * frame + 10)
          store.close()
          yield* inputs(10)
        })(),
      ),
    )
    expect(shortCode(error)).toBe('CLOSED')
    expect(again().size).toBe(2 * frame)
  })

  test('an iterator that itself writes large frames mixes nothing up', () => {
    const { store } = temporaryStore(open, { dimensions })
    const prefixed = (prefix: string) => [...inputs(frame * 2)].map((memory) => ({ ...memory, id: prefix + memory.id }))
    store.putMany(
      (function* () {
        for (const memory of prefixed('outer ')) {
          yield memory
          if (memory.createdAt === 100 || memory.createdAt === 300)
            store.putMany(prefixed(`inner ${memory.createdAt} `))
        }
      })(),
    )
    expect(store.size).toBe(frame * 6)
    for (const prefix of ['outer ', 'inner 100 ', 'inner 300 ']) {
      for (const memory of prefixed(prefix)) expect(store.get(memory.id)).toMatchObject(memory)
    }
  })

  test('a worker terminated in the middle of putMany leaves whole frames', async () => {
    const { store, directory } = temporaryStore(open, { dimensions })
    const code = `
      const { open } = require('thermocline')
      const { parentPort } = require('node:worker_threads')
      const store = open(${JSON.stringify(directory)})
      const embedding = new Float32Array(${dimensions}).fill(1)
      store.putMany((function* () {
        for (let index = 0; ; index++) {
          if (index === ${3 * frame}) parentPort.postMessage('writing')
          yield { id: 'w' + (index % 5000), embedding, content: 'x'.repeat(100) }
        }
      })())`
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(code, { eval: true })
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      await worker.terminate()
      expect(store.sequence % frame).toBe(0)
    }
    expect(await store.verify()).toMatchObject({ ok: true })
  })
})
