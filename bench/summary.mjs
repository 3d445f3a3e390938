// From the figures of the rounds to medians, ratios and verdicts. Pure.

import { median } from './measure.mjs'
import { targets } from './targets.mjs'

function medianOfEach(rounds) {
  const keys = Object.keys(rounds[0])
  return Object.fromEntries(
    keys.map((key) => {
      const values = rounds.map((round) => round[key]).filter((value) => typeof value === 'number')
      return [key, values.length === rounds.length ? median(values) : rounds.at(-1)[key]]
    }),
  )
}

/**
 * How many times better ours was, round by round, and of these the median: both sides of each ratio were measured
 * within seconds of each other, so what the machine did meanwhile weighs on both.
 */
function ratioOf(row, ours, theirs) {
  const ratios = theirs.map((round, i) => {
    const [a, b] = [ours[i][row.figure], round[row.figure]]
    return row.lower ? b / a : a / b
  })
  return median(ratios)
}

/** A row's results as they are written to the file. `subjects` as `describeSubjects` has them. */
export function summarizeRow(row, results, failures, subjects) {
  const { thermocline: ours } = results
  const others = Object.keys(results).filter((subject) => subject !== 'thermocline')
  const summary = {
    id: row.id,
    group: row.group,
    title: row.title,
    unit: row.unit,
    figure: row.figure,
    lower: row.lower === true,
    median: Object.fromEntries(Object.entries(results).map(([subject, rounds]) => [subject, medianOfEach(rounds)])),
    ratio:
      ours === undefined
        ? {}
        : Object.fromEntries(others.map((subject) => [subject, ratioOf(row, ours, results[subject])])),
    failures,
    rounds: results,
  }
  const target = targets[row.id]
  if (target === undefined || ours === undefined) return summary
  const peers = others.filter((subject) => isPeer(subject, subjects[subject]))
  return { ...summary, target: target.text, reached: target.reached({ ...summary, peers }) ?? 'unknown' }
}

/** Whether a subject is one that targets mean by "peer": neither ours, nor a reference, nor a ceiling. */
export function isPeer(subject, { reference, ceiling }) {
  return !subject.startsWith('thermocline') && !reference && !ceiling
}
