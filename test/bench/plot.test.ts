// The charts say what the figures say: bars begin at zero and are as long as their values.

import { expect, test } from 'vitest'
import { chooseStep, plotRows } from '../../bench/plot.mjs'
import { rate, subjects, summarize } from './rows.js'

function bars(svg: string): { kind: string; x: number; width: number }[] {
  const pattern = /<rect class="(ours|peer|reference)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g
  return [...svg.matchAll(pattern)].map(([, kind = '', x, width]) => ({ kind, x: Number(x), width: Number(width) }))
}

test('bars begin at the zero of the axis and are as long as their values', () => {
  const row = summarize(rate, { thermocline: [400, 400, 400], lmdb: [100, 100, 100], map: [600, 600, 600] })
  const svg = plotRows([row], subjects, 'a caption')
  const [ours, peer, ceiling] = bars(svg)
  const zero = Number(/x="([\d.]+)" y="\d+" text-anchor="middle">0</.exec(svg)?.[1])
  expect([ours?.x, peer?.x, ceiling?.x]).toEqual([zero, zero, zero])
  expect([ours?.kind, peer?.kind, ceiling?.kind]).toEqual(['ours', 'peer', 'reference'])
  expect((ours?.width ?? 0) / (peer?.width ?? 1)).toBeCloseTo(4, 1)
  expect((ceiling?.width ?? 0) / (peer?.width ?? 1)).toBeCloseTo(6, 1)
})

test('what would leave the others no room is named with its figure, not left out', () => {
  const row = summarize(rate, { thermocline: [100, 100, 100], lmdb: [50, 50, 50], map: [90_000, 90_000, 90_000] })
  const svg = plotRows([row], subjects, 'a caption')
  expect(bars(svg)).toHaveLength(2)
  expect(svg).toContain('off the scale: Map 90,000 /s')
})

test('every element is closed and text is escaped, so the file is XML', () => {
  const svg = plotRows([{ ...summarize(rate, { thermocline: [1, 1, 1] }), title: 'a < b & c' }], subjects, '"x" & y')
  const open: string[] = []
  for (const [, close, name = '', empty] of svg.matchAll(/<(\/?)([a-z]+)(?:\s[^<>]*?)?(\/?)>/g)) {
    if (empty) continue
    if (close) expect(open.pop()).toBe(name)
    else open.push(name)
  }
  expect(open).toEqual([])
  expect(svg.replaceAll(/<[^<>]*>/g, '')).not.toMatch(/<|&(?!amp;|lt;|gt;|quot;)/)
  expect(svg).toContain('a &lt; b &amp; c')
})

test('an axis has two to five steps of 1, 2 or 5', () => {
  for (const max of [0.013, 0.9, 1, 7, 42, 999, 1_234_567]) {
    const step = chooseStep(max)
    expect(max / step).toBeLessThanOrEqual(5)
    expect(max / step).toBeGreaterThanOrEqual(2)
    expect([1, 2, 5, 10]).toContain(Number((step / 10 ** Math.floor(Math.log10(step))).toFixed(6)))
  }
})
