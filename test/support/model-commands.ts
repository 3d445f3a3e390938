// Commands for fast-check's model runner: each does one thing to a store and to its MapModel and compares the two.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Memory, MemoryInput, MemoryPatch, Metric, Operation, SearchOptions, Store } from 'thermocline'
import { codeOf } from './failures.js'
import type { MapModel } from './map-model.js'

/** The store under test: reopening replaces it. */
export interface RealStore {
  readonly directory: string
  readonly metric: Metric
  open(): Store
  store: Store
}

/** Fits fc.AsyncCommand. */
export class Step {
  readonly #title: string
  readonly #body: (model: MapModel, real: RealStore) => void | Promise<void>

  constructor(title: string, body: (model: MapModel, real: RealStore) => void | Promise<void>) {
    this.#title = title
    this.#body = body
  }

  async check(): Promise<boolean> {
    return true
  }

  async run(model: MapModel, real: RealStore): Promise<void> {
    await this.#body(model, real)
    same('sequence', real.store.sequence, model.sequence)
    same('size', real.store.size, model.memories.size)
  }

  toString(): string {
    return this.#title
  }
}

function same(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  throw new Error(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`)
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (part instanceof Float32Array ? [...part] : part))

export type Input = MemoryInput & { createdAt: number }
/** Which `ifSequence` a write gives, relative to the memory's own. */
export type Condition = 'none' | 'right' | 'wrong'

function conditionOf(model: MapModel, id: string, condition: Condition): { ifSequence?: number } | undefined {
  if (condition === 'none') return undefined
  return { ifSequence: model.sequenceOf(id) + (condition === 'wrong' ? 1 : 0) }
}

export const putStep = (input: Input, condition: Condition): Step =>
  new Step(`put(${text(input)}, ${condition})`, (model, { store }) => {
    const put = () => store.put(input, conditionOf(model, input.id, condition))
    if (condition === 'wrong') return same('put', codeOf(put), 'CONFLICT')
    const sequence = put()
    model.put(input)
    same('put', sequence, model.sequence)
  })

export const updateStep = (id: string, patch: MemoryPatch, condition: Condition): Step =>
  new Step(`update(${text(id)}, ${text(patch)}, ${condition})`, (model, { store }) => {
    const update = () => store.update(id, patch, conditionOf(model, id, condition))
    if (condition === 'wrong') return same('update', codeOf(update), 'CONFLICT')
    same('update', update(), model.update(id, patch))
  })

export const deleteStep = (id: string, condition: Condition): Step =>
  new Step(`delete(${text(id)}, ${condition})`, (model, { store }) => {
    const remove = () => store.delete(id, conditionOf(model, id, condition))
    if (condition === 'wrong') return same('delete', codeOf(remove), 'CONFLICT')
    same('delete', remove(), model.delete(id))
  })

export const putManyStep = (inputs: Input[], batchSize: number | undefined): Step =>
  new Step(`putMany(${text(inputs)}, ${batchSize})`, (model, { store }) => {
    const result = store.putMany(inputs, { batchSize })
    for (const input of inputs) model.put(input)
    same('putMany', result, { count: inputs.length, lastSequence: model.sequence })
  })

export const writeStep = (operations: Operation[]): Step =>
  new Step(`write(${text(operations)})`, (model, { store }) => {
    const result = store.write(operations)
    for (const operation of operations) {
      if ('put' in operation) model.put(operation.put as Input)
      else if ('update' in operation) model.update(operation.update, operation.patch)
      else model.delete(operation.delete)
    }
    same('write', result, { lastSequence: model.sequence })
  })

export const touchStep = (id: string, activation: number | undefined): Step =>
  new Step(`touch(${text(id)}, ${activation})`, (model, { store }) => {
    const before = Date.now()
    same('touch', store.touch(id, { activation }), model.memories.has(id))
    const noted = store.get(id)?.lastAccess ?? before
    if (noted < before - 1 || noted > Date.now() + 1) throw new Error(`lastAccess ${noted} is not now`)
    model.touch(id, noted, activation)
  })

export const readStep = (id: string): Step =>
  new Step(`read(${text(id)})`, (model, { store }) => {
    const expected = model.memories.get(id)
    same('get', store.get(id), expected)
    same('has', store.has(id), expected !== undefined)
    same('locate', store.locate(id) !== undefined, expected !== undefined)
    const view = store.view(id)
    same(
      'view',
      view && [view.content, view.metadata, view.sequence],
      expected && [expected.content, expected.metadata, expected.sequence],
    )
    same('view embedding', view?.embedding && [...view.embedding], expected?.embedding && [...expected.embedding])
  })

export const entriesStep = (since: number): Step =>
  new Step(`entries(${since})`, (model, { store }) => {
    same('entries', [...store.entries({ since })], model.entries(since))
    same('getMany', store.getMany(model.memories.keys()), [...model.memories.values()])
  })

/** Scores agree as far as the order of summing in double precision lets them. */
export const searchStep = (query: Float32Array, limit: number, cut: number | undefined): Step =>
  new Step(`search(${text(query)}, ${limit}, ${cut})`, async (model, { store, metric }) => {
    const all = model.search(query, metric)
    const magnitude = query.reduce((sum, value) => sum + value * value, 1)
    const slack = 1e-9 * magnitude
    const minScore = cut === undefined ? undefined : all[cut]?.score
    const options: SearchOptions = { limit, minScore: minScore === undefined ? undefined : minScore - slack }
    const hits = store.searchSync(query, options)
    same('search', await store.search(query, options), hits)
    const wanted = all.filter(({ score }) => minScore === undefined || score >= minScore)
    if (hits.length < Math.min(limit, wanted.length)) throw new Error(`${hits.length} hits instead of ${wanted.length}`)
    hits.forEach(({ memory, score }, at) => {
      same(`hit ${at}`, memory, model.memories.get(memory.id) as Memory)
      const expected = all.find(({ id }) => id === memory.id)?.score ?? Number.NaN
      if (!(Math.abs(score - expected) <= slack)) throw new Error(`hit ${at} scores ${score} instead of ${expected}`)
      if (!(Math.abs(score - (all[at]?.score ?? Number.NaN)) <= slack))
        throw new Error(`hit ${at} is not the next best`)
      const before = hits[at - 1]
      if (before === undefined) return
      const ordered = before.score > score || (before.score === score && before.memory.sequence < memory.sequence)
      if (!ordered) throw new Error(`hits ${at - 1} and ${at} are out of order`)
    })
  })

export const changesStep = (): Step =>
  new Step('changes()', async (model, { store }) => {
    const newest = new Map<string, { kind: string; sequence: number }>()
    let last = 0
    for await (const { sequence, kind, id } of store.changes()) {
      same('next change', sequence, ++last)
      newest.delete(id)
      newest.set(id, { kind, sequence })
    }
    same('last change', last, model.sequence)
    const alive = [...newest].filter(([, { kind }]) => kind !== 'delete').map(([id, { sequence }]) => [id, sequence])
    same(
      'ids by changes',
      alive,
      [...model.memories.values()].map(({ id, sequence }) => [id, sequence]),
    )
  })

export const flushStep = (): Step => new Step('flush()', (_model, { store }) => store.flush())

export const verifyStep = (): Step =>
  new Step('verify()', async (model, { store }) => {
    same('verify', await store.verify(), { ok: true, memories: model.memories.size, problems: [] })
  })

export const reopenStep = (withoutCache: boolean): Step =>
  new Step(withoutCache ? 'reopen without cache' : 'reopen', (model, real) => {
    real.store.close()
    if (withoutCache) rmSync(join(real.directory, 'cache'))
    real.store = real.open()
    same('entries', [...real.store.entries()], model.entries(0))
  })
