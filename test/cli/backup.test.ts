// Goal: a backup that a signal ends leaves nothing. Method: signals as soon as the copy shows beside its place; one that
// was faster than the signal is made again.

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { failureIn, makeStore, memoriesIn, Running } from './support/command.js'

const triesMax = 20

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)(
  '%s in the middle of a backup leaves nothing at its place and nothing beside it',
  async (signal, exitCode) => {
    const scene = temporaryDirectory()
    const content = 'x'.repeat(4000)
    const directory = makeStore(
      join(scene, 'store'),
      Array.from({ length: 8000 }, (_, at) => ({ id: `m${at}`, content })),
    )
    const target = join(scene, 'copy')
    for (let tries = 0; tries < triesMax; tries++) {
      const running = new Running(['backup', directory, target, '--json'])
      const isOver = (): boolean => running.process.exitCode !== null
      const hasBegun = (): boolean => readdirSync(scene).some((name) => name.startsWith('.thermocline-copy-'))
      while (!hasBegun() && !isOver()) await new Promise((resolve) => setImmediate(resolve))
      running.process.kill(signal)
      const outcome = await running.ended
      if (outcome.code === 0) {
        expect(memoriesIn(target)).toHaveLength(8000)
        rmSync(target, { recursive: true })
        continue
      }
      expect([outcome.code, failureIn(outcome)]).toEqual([
        exitCode,
        expect.objectContaining({ code: 'THERMOCLINE_ABORTED', exitCode }),
      ])
      expect(existsSync(target)).toBe(false)
      expect(readdirSync(scene)).toEqual(['store'])
      return
    }
    expect.unreachable(`${triesMax} backups were faster than the signal`)
  },
)
