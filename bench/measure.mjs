// Clocks and statistics. What is timed runs between two reads of the clock and nothing else does.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Bench } from 'tinybench'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

/** Collects garbage, so that nobody's clock pays for another's. Twice: finalizers of the first make more. */
export function collectGarbage() {
  collect()
  collect()
}

/** Value at `fraction` of the sorted `values`. */
export function quantile(values, fraction) {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))]
}

export function median(values) {
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Milliseconds that one long call takes. */
export async function timeOnce(run) {
  collectGarbage()
  const begin = performance.now()
  const pending = run()
  if (pending !== undefined) await pending
  return performance.now() - begin
}

/**
 * Calls per second of a short function, by tinybench: the median of runs of `each` calls, so that reading the clock
 * costs nothing that counts.
 */
export async function timeShort(run, { time, each = 200 }) {
  collectGarbage()
  const bench = new Bench({ time, iterations: 5, warmupTime: time / 5, warmupIterations: 2 })
  bench.add('row', () => {
    for (let i = 0; i < each; i += 1) run()
  })
  await bench.run()
  const { result } = bench.tasks[0]
  if (result.error) throw result.error
  return (each * 1000) / result.latency.p50
}

/** As `timeShort` for a function that returns a promise; awaits each. */
export async function timeShortAsync(run, { time }) {
  collectGarbage()
  const bench = new Bench({ time, iterations: 5, warmupTime: time / 5, warmupIterations: 2 })
  bench.add('row', async () => {
    await run()
  })
  await bench.run()
  const { result } = bench.tasks[0]
  if (result.error) throw result.error
  return 1000 / result.latency.p50
}

/** Microseconds of each call of `run(input)`, one after another. */
export async function timeEach(inputs, run) {
  collectGarbage()
  const times = new Float64Array(inputs.length)
  for (let i = 0; i < inputs.length; i += 1) {
    const begin = performance.now()
    const pending = run(inputs[i])
    if (pending !== undefined) await pending
    times[i] = (performance.now() - begin) * 1000
  }
  return times
}
