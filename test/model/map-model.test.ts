// Goal: whatever is done to a store, in whatever order, it equals a plain Map. Method: fast-check draws sequences of
// operations, reopening and loss of the cache among them, and every step compares; searches with a naive oracle.

import fc from 'fast-check'
import { type MemoryPatch, type Metric, type Operation, open } from 'thermocline'
import { expect, test } from 'vitest'
import { MapModel } from '../support/map-model.js'
import * as steps from '../support/model-commands.js'
import { temporaryDirectory } from '../support/temporary.js'

const seed = Number(process.env.THERMOCLINE_TEST_SEED ?? 0x3a9)
const runs = Number(process.env.THERMOCLINE_TEST_RUNS ?? 60)
const commandsMax = 60
const stepsPerRunMin = 5 // on average; fast-check draws short sequences too
const testMsMax = 120_000
const metrics: readonly Metric[] = ['cosine', 'dot', 'l2']

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'ü', '🌊', 'a\0', 'x'.repeat(511))
const texts = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.constantFrom('', 'plain', 'y'.repeat(5000)))
const contents = fc.option(texts, { nil: null })
const metadata = fc.dictionary(fc.constantFrom('k', 'l', '__proto__'), fc.constantFrom(1, 'v', null, true), {
  noNullPrototype: true,
})
const confidences = fc.double({ min: 0, max: 1, noNaN: true })
const times = fc.double({ noNaN: true, noDefaultInfinity: true })
const conditions = fc.constantFrom<steps.Condition>('none', 'none', 'right', 'wrong')

/** Small integers among them, so that scores tie and vectors of zeros occur. */
function vectors(dimensions: number): fc.Arbitrary<Float32Array> {
  const element = fc.oneof(fc.integer({ min: -2, max: 2 }), fc.float({ min: -100, max: 100, noNaN: true }))
  const size = { minLength: dimensions, maxLength: dimensions }
  const whole = fc.array(fc.integer({ min: -1, max: 1 }), size)
  return fc.oneof(whole, fc.array(element, size)).map((elements) => Float32Array.from(elements))
}

function inputs(dimensions: number): fc.Arbitrary<steps.Input> {
  return fc
    .record(
      {
        id: ids,
        createdAt: times,
        embedding: fc.option(
          fc.oneof(
            vectors(dimensions),
            vectors(dimensions).map((vector) => [...vector]),
          ),
          { nil: null },
        ),
        content: contents,
        metadata,
        confidence: confidences,
        activation: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
        lastAccess: times,
        recallCount: fc.nat(),
      },
      { requiredKeys: ['id', 'createdAt'] },
    )
    .map((input) => input as steps.Input) // omitted keys are absent, as MemoryInput has them
}

type Sequence = Iterable<fc.AsyncCommand<MapModel, steps.RealStore, true>>

function commands(dimensions: number, metric: Metric): fc.Arbitrary<Sequence> {
  const input = inputs(dimensions)
  const patch = fc
    .record({ content: contents, metadata, confidence: confidences }, { requiredKeys: [] })
    .map((value) => value as MemoryPatch)
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    fc.record({ put: input }),
    fc.record({ update: ids, patch }),
    fc.record({ delete: ids }),
  )
  const query = vectors(dimensions).filter((vector) => metric !== 'cosine' || vector.some((element) => element !== 0))
  const search = fc
    .tuple(query, fc.integer({ min: 1, max: 12 }), fc.option(fc.nat(8), { nil: undefined }))
    .map(([vector, limit, cut]) => steps.searchStep(vector, limit, cut))
  return fc.commands<MapModel, steps.RealStore, true>(
    [
      fc.tuple(input, conditions).map(([memory, condition]) => steps.putStep(memory, condition)),
      fc.tuple(input, conditions).map(([memory, condition]) => steps.putStep(memory, condition)),
      fc.tuple(ids, patch, conditions).map(([id, change, condition]) => steps.updateStep(id, change, condition)),
      fc.tuple(ids, conditions).map(([id, condition]) => steps.deleteStep(id, condition)),
      fc
        .tuple(fc.array(input, { maxLength: 12 }), fc.constantFrom(undefined, 1, 3, 256))
        .map(([memories, batchSize]) => steps.putManyStep(memories, batchSize)),
      fc.array(operation, { maxLength: 10 }).map(steps.writeStep),
      fc.tuple(ids, fc.constantFrom(undefined, 0, 2.5)).map(([id, activation]) => steps.touchStep(id, activation)),
      ids.map(steps.readStep),
      fc.nat(60).map(steps.entriesStep),
      search,
      search,
      fc.constant(null).map(steps.changesStep),
      fc.constant(null).map(steps.flushStep),
      fc.constant(null).map(steps.verifyStep),
      fc.boolean().map(steps.reopenStep),
    ],
    { maxCommands: commandsMax, size: '+1' },
  )
}

test.each(metrics)(
  `any sequence of operations equals a Map, metric %s (seed ${seed}, ${runs} runs)`,
  async (metric) => {
    const parent = temporaryDirectory()
    let stores = 0
    let stepsDone = 0
    const script = fc
      .integer({ min: 1, max: 20 })
      .chain((dimensions) =>
        fc.tuple(
          fc.constant(dimensions),
          fc.oneof(
            { weight: 30, arbitrary: fc.constant('none' as const) },
            { weight: 1, arbitrary: fc.constant('flush' as const) },
          ),
          commands(dimensions, metric),
        ),
      )
    const property = fc.asyncProperty(script, async ([dimensions, durability, sequence]) => {
      const directory = `${parent}/${stores++}`
      const openAgain = () => open(directory, { dimensions, metric, durability })
      const real: steps.RealStore = { directory, metric, open: openAgain, store: openAgain() }
      try {
        stepsDone += [...sequence].length
        await fc.asyncModelRun(() => ({ model: new MapModel(), real }), sequence)
        // At the end once more from the log alone, so that every sequence proves it.
        const model = [...real.store.entries()]
        await steps.reopenStep(true).run(modelOf(model, real.store.sequence), real)
      } finally {
        real.store.close()
      }
    })
    await fc.assert(property, { seed, numRuns: runs })
    expect(stores).toBeGreaterThanOrEqual(runs)
    expect(stepsDone).toBeGreaterThan(runs * stepsPerRunMin)
  },
  testMsMax,
)

/** A model that holds what a store shows. */
function modelOf(memories: ReturnType<MapModel['entries']>, sequence: number): MapModel {
  const model = new MapModel()
  model.sequence = sequence
  for (const memory of memories) model.memories.set(memory.id, memory)
  return model
}
