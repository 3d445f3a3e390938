// Bar charts of a run as SVG, one file a group: a panel a row, bars from zero, a line from the least to the greatest
// round. Readable on light and dark, and by people who do not tell red from green (colours of Okabe and Ito).

import { plotRecall } from './plot-recall.mjs'
import { escapeText, style } from './plot-style.mjs'
import { formatFigure } from './report.mjs'

const width = 860
const labelWidth = 220
const valueWidth = 130
const barHeight = 18
const barGap = 8
const panelHead = 46
const axisHeight = 26
const padding = 20
/** A ceiling or a failure of a peer beyond this many times the rest is named below the bars, not drawn. */
const offScale = 8

/** The next of 1, 2, 5, 10 ... that divides `max` into at most five parts. */
export function chooseStep(max) {
  const power = 10 ** Math.floor(Math.log10(max / 5))
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => max / step <= 5)
}

function kindOf(subject, { reference, ceiling }) {
  if (subject.startsWith('thermocline')) return 'ours'
  return reference || ceiling ? 'reference' : 'peer'
}

/** The bars of a row: drawn ones, and those that would leave the others no room. */
function readBars(row, subjects) {
  const bars = Object.entries(row.median).map(([subject, figures]) => {
    const rounds = row.rounds[subject].map((round) => round[row.figure])
    return {
      name: subjects[subject].name,
      kind: kindOf(subject, subjects[subject]),
      value: figures[row.figure],
      least: Math.min(...rounds),
      greatest: Math.max(...rounds),
    }
  })
  const scale = Math.max(...bars.filter(({ kind }) => kind === 'ours').map(({ value }) => value))
  const isDrawn = ({ kind, value }) => kind === 'ours' || value <= scale * offScale
  return { drawn: bars.filter(isDrawn), left: bars.filter((bar) => !isDrawn(bar)) }
}

function panelHeight({ drawn, left }) {
  return panelHead + drawn.length * (barHeight + barGap) + axisHeight + (left.length > 0 ? 18 : 0) + padding
}

function drawBar(bar, unit, top, scale) {
  const x = (value) => (labelWidth + value * scale).toFixed(1)
  const middle = top + barHeight / 2
  return [
    `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escapeText(bar.name)}</text>`,
    `<rect class="${bar.kind}" x="${labelWidth}" y="${top}" width="${(bar.value * scale).toFixed(1)}" height="${barHeight}"/>`,
    `<line class="range" x1="${x(bar.least)}" x2="${x(bar.greatest)}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${Number(x(bar.greatest)) + 8}" y="${middle + 4}">${escapeText(formatFigure(bar.value, unit))}</text>`,
  ].join('\n')
}

function drawAxis(max, unit, top, bottom, scale) {
  const step = chooseStep(max)
  const ticks = Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step)
  return ticks
    .map((tick) => {
      const x = (labelWidth + tick * scale).toFixed(1)
      const label = tick === 0 ? '0' : formatFigure(tick, unit)
      return `<line class="axis" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/><text class="small" x="${x}" y="${bottom + 15}" text-anchor="middle">${escapeText(label)}</text>`
    })
    .join('\n')
}

function drawPanel(row, bars, top) {
  const max = Math.max(...bars.drawn.map(({ greatest }) => greatest))
  const scale = (width - labelWidth - valueWidth) / max
  const first = top + panelHead
  const bottom = first + bars.drawn.length * (barHeight + barGap)
  const notes = bars.left.map(({ name, value }) => `${name} ${formatFigure(value, row.unit)}`).join(', ')
  return [
    `<text class="title" x="${padding}" y="${top + 16}">${escapeText(`${row.id}  ${row.title}`)}</text>`,
    `<text class="small" x="${padding}" y="${top + 34}">${row.lower ? 'shorter is better' : 'longer is better'}; bar: median, line: least to greatest round</text>`,
    drawAxis(max, row.unit, first - 4, bottom, scale),
    ...bars.drawn.map((bar, i) => drawBar(bar, row.unit, first + i * (barHeight + barGap), scale)),
    notes === ''
      ? ''
      : `<text class="small" x="${labelWidth}" y="${bottom + axisHeight + 8}">off the scale: ${escapeText(notes)}</text>`,
  ].join('\n')
}

/** The chart of some rows. `subjects` as in the results. */
export function plotRows(rows, subjects, caption) {
  const panels = rows.map((row) => ({ row, bars: readBars(row, subjects) }))
  let top = 44
  const drawn = panels.map(({ row, bars }) => {
    const panel = drawPanel(row, bars, top)
    top += panelHeight(bars)
    return panel
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img" aria-label="${escapeText(caption)}">`,
    `<style>${style}\n</style>`,
    `<rect class="paper" width="${width}" height="${top}"/>`,
    `<text class="small" x="${padding}" y="24">${escapeText(caption)}</text>`,
    ...drawn,
    '</svg>',
    '',
  ].join('\n')
}

/** [name, SVG] for each group of a run that has a row to draw, and of recall against time where that was measured. */
export function plotGroups({ rows, subjects, options, environment, date }) {
  const caption = `n = ${options.n.toLocaleString('en')}, ${options.dimensions} dimensions; ${environment.cpu.model}, ${environment.cpu.cores} cores, Node ${environment.node}; ${date.slice(0, 10)}`
  const charts = [...new Set(rows.map(({ group }) => group))].map((group) => {
    const drawable = rows.filter((row) => row.group === group && row.median.thermocline !== undefined)
    return [group, plotRows(drawable, subjects, caption)]
  })
  const recall = plotRecall(rows, subjects, caption, style)
  return recall === undefined ? charts : [...charts, ['recall', recall]]
}
