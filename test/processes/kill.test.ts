// T2: SIGKILL at random moments of processes that write through the public API.
//
// The oracle lies outside the store: support/kill-oracle.ts says how, children/oracle-log.mjs what it cannot miss.

import { performance } from 'node:perf_hooks'
import { stampedMemory } from '../support/memories.mjs'
import { KillOracle, type WorkerLog } from './support/kill-oracle.js'
import { readOracleLog } from './support/oracle-log.js'
import {
  type Child,
  expectNone,
  isNightly,
  patience,
  percentile,
  processTest,
  type Scene,
  sleep,
} from './support/scene.js'

const rounds = isNightly ? 1000 : 20
/** Rounds on one store; then a new one, so that a night does not fill the disk. */
const roundsPerStore = 10
const processes = 2
const workersPerProcess = 3
const killMsMax = 300
const survivorMsMin = 60
/** What one killed owner may cost a survivor: the slice of a waiter, the repair, and a loaded host's scheduler. */
const survivorWaitMsMax = 250
const openMsMax = 200
const dimensions = 24
const ownIds = 40
const sharedIds = 6
const numbersPerWorker = 100_000

type Fate = 'both' | 'one, the other ends cleanly' | 'one, the other idles'

class KillLoop {
  readonly #scene: Scene
  #oracle = new KillOracle(dimensions)
  #directory = ''
  acknowledged = 0
  inDoubt = 0
  inDoubtThatCame = 0
  kills = 0
  killsAtOpening = 0
  recoveries = 0
  openMs: number[] = []
  survivorMs: number[] = []

  constructor(scene: Scene) {
    this.#scene = scene
  }

  async round(number: number): Promise<void> {
    const { below, random, seed } = this.#scene
    const at = number % roundsPerStore
    if (at === 0) {
      this.#tally()
      this.#oracle = new KillOracle(dimensions)
      this.#directory = this.#scene.path(`store-${number}`)
      this.#scene.open(this.#directory, { dimensions }).close()
    }
    const fates: Fate[] = ['both', 'both', 'one, the other ends cleanly', 'one, the other idles']
    const fate = fates[below(fates.length)] as Fate
    const atOpening = below(4) === 0
    const children = Array.from({ length: processes }, (_, index) =>
      this.#scene.start('host.mjs', {
        script: './kill-writer.mjs',
        workers: workersPerProcess,
        firstWorker: index * workersPerProcess,
        directory: this.#directory,
        seed: `${seed} ${number}`,
        dimensions,
        ownIds,
        sharedIds,
        logPrefix: this.#scene.path(`log-${number}`),
        numberBase: (number % roundsPerStore) * processes * workersPerProcess * numbersPerWorker,
        numbersPerWorker,
        durability: number % (2 * roundsPerStore) < roundsPerStore ? 'flush' : 'none',
      }),
    )
    if (!atOpening) await Promise.all(children.map((child) => child.next('ready', workersPerProcess)))
    await sleep(random() * killMsMax)
    const [victim, other] = (below(2) === 0 ? children : children.reverse()) as [Child, Child]
    if (atOpening) this.killsAtOpening += 1
    if (fate === 'both') {
      victim.kill()
      if (below(2) === 0) await sleep(random() * 5)
      await other.killAndWait()
      await victim.ended
      this.kills += 2
    } else {
      await victim.killAndWait()
      this.kills += 1
      await this.#letGoOn(other, fate, atOpening)
    }
    // Another boot now and then: nothing of the cache is believed, everything comes from the log.
    const bootBefore = process.env.THERMOCLINE_BOOT_ID
    if (fate !== 'one, the other idles' && below(4) === 0) process.env.THERMOCLINE_BOOT_ID = `boot of round ${number}`
    try {
      await this.#check(number, fate)
    } finally {
      if (bootBefore === undefined) delete process.env.THERMOCLINE_BOOT_ID
      else process.env.THERMOCLINE_BOOT_ID = bootBefore
      if (!other.hasEnded) await this.#end(other)
    }
  }

  /** The survivor must not notice more than a short wait, and goes on writing. */
  async #letGoOn(child: Child, fate: Fate, wasOpening: boolean): Promise<void> {
    if (wasOpening) await child.next('ready', workersPerProcess)
    await sleep(survivorMsMin)
    child.send({ type: 'stop' })
    for (const { worstMs } of await child.next('stopped', workersPerProcess)) this.survivorMs.push(worstMs as number)
    if (fate === 'one, the other ends cleanly') {
      child.send({ type: 'close' })
      await child.expectSuccess()
    }
  }

  async #end(child: Child): Promise<void> {
    if (this.#scene.below(2) === 0) await child.killAndWait()
    else {
      child.send({ type: 'close' })
      await child.expectSuccess()
    }
  }

  async #check(number: number, fate: Fate): Promise<void> {
    const logs = new Map<number, WorkerLog>()
    for (let worker = 0; worker < processes * workersPerProcess; worker++) {
      logs.set(worker, readOracleLog(this.#scene.path(`log-${number}-${worker}`)))
    }
    const begin = performance.now()
    const store = this.#scene.open(this.#directory)
    this.openMs.push(performance.now() - begin)
    const stats = store.stats()
    if (stats.recovered) this.recoveries += 1
    const participants = fate === 'one, the other idles' ? 2 : 1
    const problems = stats.participants === participants ? [] : [`participants is ${stats.participants}`]
    problems.push(...(await this.#oracle.check(store, logs)))
    const id = `parent-${number}`
    const stamp = (number + 1) * 3
    const sequence = store.put(stampedMemory(id, stamp, dimensions))
    this.#oracle.note(id, stamp, sequence)
    if (store.get(id)?.metadata.number !== stamp) problems.push('a write after the kill is not there')
    store.close()
    const inDoubt = [...logs].map(([worker, log]) => [worker, log.find(({ acknowledged }) => !acknowledged)?.intent])
    const what = `round ${number}, ${fate}, in doubt ${JSON.stringify(inDoubt)}`
    expectNone(problems.map((problem) => `${what}: ${problem}`))
  }

  #tally(): void {
    this.acknowledged += this.#oracle.acknowledged
    this.inDoubt += this.#oracle.inDoubt
    this.inDoubtThatCame += this.#oracle.inDoubtThatCame
  }

  report(): void {
    this.#tally()
    const { kills, acknowledged, inDoubt, inDoubtThatCame, recoveries, killsAtOpening } = this
    console.log(
      `${kills} kills (${killsAtOpening} rounds while opening), ${acknowledged} acknowledged writes kept, ` +
        `${inDoubt} in doubt of which ${inDoubtThatCame} came, ${recoveries} recoveries; ` +
        `open max ${Math.max(...this.openMs).toFixed(1)} ms; survivors' worst call ` +
        `${Math.max(0, ...this.survivorMs).toFixed(1)} ms (median ${percentile(this.survivorMs, 50).toFixed(1)} ms)`,
    )
  }
}

processTest('kill -9 loses no acknowledged write, and at most one per worker is in doubt', async (scene) => {
  const loop = new KillLoop(scene)
  for (let number = 0; number < rounds; number++) await loop.round(number)
  loop.report()
  const slow = loop.survivorMs.filter((ms) => ms > patience(survivorWaitMsMax))
  const late = loop.openMs.filter((ms) => ms > patience(openMsMax))
  expectNone([
    ...slow.map((ms) => `a survivor waited ${ms.toFixed(0)} ms`),
    ...late.map((ms) => `opening took ${ms.toFixed(0)} ms`),
  ])
  if (loop.acknowledged < rounds * 50) throw new Error(`only ${loop.acknowledged} writes: this proved nothing`)
})
