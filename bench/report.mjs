// The results as text: one block a row, then what was reached.

const verdicts = { true: 'reached', false: 'not yet', unknown: 'not judged' }

/** A figure for people: three digits, thousands apart. */
export function formatFigure(value, unit) {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  const text = value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return unit === '/s' || unit === 'turns/s' ? `${text} ${unit}` : unit === 'x' ? text : `${text} ${unit}`
}

export function formatRatio(ratio) {
  return `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2)} x`
}

function formatRest(figures, figure) {
  return Object.entries(figures)
    .filter(([key, value]) => key !== figure && !Array.isArray(value))
    .map(([key, value]) => `${key} ${typeof value === 'number' ? Number(value.toPrecision(3)) : value}`)
    .join(', ')
}

/** Recall and time of each effort of a subject that has several. */
function formatPoints({ points }) {
  const texts = points.map(({ effort, recall, p50 }) => `${effort}: ${recall.toFixed(3)} in ${formatFigure(p50, 'ms')}`)
  return `          effort: recall in p50; ${texts.join(', ')}`
}

/** The block of a row. */
export function formatRow(row, subjects) {
  const lines = [`${row.id}  ${row.title}`]
  for (const [subject, figures] of Object.entries(row.median)) {
    const ratio = row.ratio[subject] === undefined ? '' : formatRatio(row.ratio[subject])
    const figure = formatFigure(figures[row.figure], row.unit)
    lines.push(
      `      ${subjects[subject].name.padEnd(32)}${figure.padStart(16)}${ratio.padStart(10)}   ${formatRest(figures, row.figure)}`,
    )
    if (figures.points !== undefined) lines.push(formatPoints(figures))
  }
  for (const [subject, message] of Object.entries(row.failures)) {
    lines.push(`      ${subjects[subject].name.padEnd(32)}failed: ${message.split('\n')[0]}`)
  }
  if (row.target !== undefined) lines.push(`      to reach ${row.target}: ${verdicts[row.reached]}`)
  return lines.join('\n')
}

export function formatEnvironment({ cpu, node, kernel, fileSystem, memoryBytes, bandwidth, sync, loadBefore }) {
  return [
    `${cpu.model}, ${cpu.cores} cores (${cpu.sets.join(' ')}), ${Math.round(memoryBytes / 2 ** 30)} GiB, Linux ${kernel}, ${fileSystem}, Node ${node}`,
    `memory ${bandwidth.oneThread.toFixed(1)} GB/s one thread, ${bandwidth.allCores.toFixed(1)} GB/s all cores; ` +
      `pwrite + fdatasync p50 ${sync.p50.toFixed(0)} us, p99 ${sync.p99.toFixed(0)} us; load before ${loadBefore.toFixed(1)}`,
  ].join('\n')
}

export function formatSubjects(subjects) {
  return Object.values(subjects)
    .map(({ name, version, settings, absent }) => {
      if (absent !== undefined) return `not run here: ${name} (${absent})`
      const text = Object.entries(settings).map(([durability, setting]) => `${durability}: ${setting}`)
      return `${`${name} ${version}`.trim()}: ${text.join('; ')}`
    })
    .join('\n')
}

/** One line a target, and whether other work of the machine may have disturbed them. */
export function formatVerdicts(rows, others) {
  const judged = rows.filter(({ target }) => target !== undefined)
  const lines = judged.map((row) => `${row.id.padEnd(6)}${verdicts[row.reached].padEnd(12)}${row.target}`)
  if (others > 0.2)
    lines.push(`other processes used up to ${others.toFixed(1)} cores meanwhile: run it again on a quiet machine`)
  return lines.join('\n')
}
