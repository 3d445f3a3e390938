// The chart of recall against time: a line a subject, a point an effort, both axes logarithmic. Further right finds more,
// further down is faster.

import { escapeText } from './plot-style.mjs'
import { formatFigure } from './report.mjs'

const width = 860
const height = 420
const left = 90
const right = 190
const top = 84
const bottom = 60
/** Shares missed that the axis names. Nothing missed is drawn at the last. */
const ticks = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]
const [mostMissed, leastMissed] = [ticks[0], ticks.at(-1)]
/** Okabe and Ito; ours first. */
const colours = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00']

/** Places of recalls and times on the paper. `times`: all that are drawn. */
export function makeScales(times) {
  const [low, high] = [Math.min(...times) / 1.5, Math.max(...times) * 1.5]
  const share = (value, from, to) => Math.log(value / from) / Math.log(to / from)
  return {
    x(recall) {
      const missed = Math.min(mostMissed, Math.max(leastMissed, 1 - recall))
      return left + share(missed, mostMissed, leastMissed) * (width - left - right)
    },
    y: (time) => height - bottom - share(time, low, high) * (height - top - bottom),
    low,
    high,
  }
}

function drawAxes({ x, y, low, high }) {
  const lines = ticks.map((missed) => {
    const at = x(1 - missed).toFixed(1)
    const label = missed === leastMissed ? `${1 - missed} +` : String(1 - missed)
    return [
      `<line class="axis" x1="${at}" x2="${at}" y1="${top}" y2="${height - bottom}"/>`,
      `<text class="small" x="${at}" y="${height - bottom + 16}" text-anchor="middle">${label}</text>`,
    ].join('')
  })
  for (let power = Math.ceil(Math.log10(low)); 10 ** power <= high; power += 1) {
    const at = y(10 ** power).toFixed(1)
    lines.push(
      `<line class="axis" x1="${left}" x2="${width - right}" y1="${at}" y2="${at}"/>`,
      `<text class="small" x="${left - 8}" y="${Number(at) + 4}" text-anchor="end">${formatFigure(10 ** power, 'ms')}</text>`,
    )
  }
  return lines.join('\n')
}

function drawLine(name, points, colour, { x, y }, place) {
  const at = points.map(({ recall, p50 }) => [x(recall).toFixed(1), y(p50).toFixed(1)])
  const labelY = top + 16 + place * 22
  return [
    `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${at.map((pair) => pair.join(',')).join(' ')}"/>`,
    ...at.map(([pointX, pointY]) => `<circle fill="${colour}" cx="${pointX}" cy="${pointY}" r="4"/>`),
    `<rect fill="${colour}" x="${width - right + 20}" y="${labelY - 10}" width="12" height="12"/>`,
    `<text x="${width - right + 40}" y="${labelY}">${escapeText(name)}</text>`,
  ].join('\n')
}

/** One chart, as the inside of an SVG of `width` x `height`. */
function drawChart(row, subjects) {
  const tuned = Object.entries(row.median).filter(([, { points }]) => points !== undefined)
  const scales = makeScales(tuned.flatMap(([, { points }]) => points.map(({ p50 }) => p50)))
  const title = `${row.id}  recall@10 against time of a search (median)`
  return [
    `<text class="title" x="20" y="48">${escapeText(title)}</text>`,
    `<text class="small" x="20" y="66">right: finds more; down: faster. Ours by the recall that is asked for, others by their efforts</text>`,
    drawAxes(scales),
    `<text class="small" x="${(left + width - right) / 2}" y="${height - bottom + 38}" text-anchor="middle">recall@10</text>`,
    ...tuned.map(([subject, { points }], at) =>
      drawLine(subjects[subject].name, points, colours[at % colours.length], scales, at),
    ),
  ].join('\n')
}

/** Charts of the rows whose subjects have several efforts, one below another; undefined when there are none. */
export function plotRecall(rows, subjects, caption, style) {
  const drawable = rows.filter(({ median }) => Object.values(median).some(({ points }) => points !== undefined))
  if (drawable.length === 0) return undefined
  const all = height * drawable.length
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${all}" width="${width}" height="${all}" role="img" aria-label="${escapeText(caption)}">`,
    `<style>${style}\n</style>`,
    '<rect class="paper" width="100%" height="100%"/>',
    `<text class="small" x="20" y="24">${escapeText(caption)}</text>`,
    ...drawable.map((row, at) => `<g transform="translate(0 ${at * height})">\n${drawChart(row, subjects)}\n</g>`),
    '</svg>',
    '',
  ].join('\n')
}
