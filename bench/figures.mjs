// The table of figures in README, made from a file of results. Pure; scripts/figures.mjs reads and writes.
//
// README has, for each file: `<!-- figures: bench/results/<name>.json -->`, the table, `<!-- /figures -->`.

import { formatFigure, formatRatio } from './report.mjs'

const block = /(<!-- figures: (\S+) -->\n)[\s\S]*?(<!-- \/figures -->)/g
const verdicts = { true: 'reached', false: 'not yet', unknown: 'not judged' }

function formatLine(row, subjects) {
  const { id, title, median, figure, unit, ratio, beside, target = '', reached } = row
  const ours = formatFigure(median.thermocline[figure], unit)
  const theirs = beside === undefined ? '' : `${subjects[beside].name}: ${formatFigure(median[beside][figure], unit)}`
  const times = beside === undefined ? '' : formatRatio(ratio[beside])
  const cells = [id, title, ours, theirs, times, target, target === '' ? '' : verdicts[reached]]
  return `| ${cells.join(' | ')} |`
}

/** The table of a run as Markdown, with where and when it was measured. */
export function formatFigures({ rows, subjects, options, environment, date, others }) {
  const { cpu, node, bandwidth, sync } = environment
  const shared = others > 0.2 ? ` Other work used up to ${others.toFixed(1)} cores meanwhile.` : ''
  return `${[
    `${options.n.toLocaleString('en')} memories, ${options.dimensions} dimensions, medians of ${options.rounds} rounds, ${date.slice(0, 10)}: ` +
      `${cpu.model}, ${cpu.cores} cores, ${bandwidth.allCores.toFixed(0)} GB/s, a sync ${sync.p50.toFixed(0)} us, Node ${node}.${shared}`,
    '',
    '| | measure | thermocline | beside | ratio | to reach | |',
    '|---|---|---|---|---|---|---|',
    ...rows.filter((row) => row.median.thermocline !== undefined).map((row) => formatLine(row, subjects)),
  ].join('\n')}\n`
}

/** README with every table of figures made anew. `readResults(path)`: the parsed file. Throws when there is none. */
export function fillFigures(readme, readResults) {
  let tables = 0
  const filled = readme.replace(block, (_, begin, path, end) => {
    tables += 1
    return `${begin}${formatFigures(readResults(path))}${end}`
  })
  if (tables === 0) throw new Error('README has no `<!-- figures: <file> -->`')
  return filled
}
