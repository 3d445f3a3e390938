// From the figures of the rounds to medians, ratios and verdicts. Pure.

import { median } from './measure.mjs'

/** Four digits: more would claim what no round repeats. */
function rounded(value) {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}

function mapValues(record, change) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]))
}

/** The median of each number, also of those in lists; of anything else what the last round said. */
function medianOfEach(rounds) {
  return mapValues(rounds.at(-1), (last, key) => {
    const values = rounds.map((round) => round[key])
    if (typeof last === 'number') return rounded(median(values))
    return Array.isArray(last) ? last.map((_, at) => medianOfEach(values.map((list) => list[at]))) : last
  })
}

/**
 * How many times better ours was, round by round, and of these the median: both sides of each ratio were measured
 * within seconds of each other, so what the machine did meanwhile weighs on both.
 */
function ratioOf({ figure, lower }, ours, theirs) {
  const ratios = theirs.map((round, i) => (lower ? round[figure] / ours[i][figure] : ours[i][figure] / round[figure]))
  return rounded(median(ratios))
}

/** Whether a subject is what targets mean by "peer": neither ours, nor a reference, nor a ceiling. */
function isPeer(subject, { reference, ceiling }) {
  return !subject.startsWith('thermocline') && !reference && !ceiling
}

/** A row's results as they are written to the file. `subjects` as `describeSubjects` has them; `targets` by row. */
export function summarizeRow(row, { results, failures, others }, subjects, targets) {
  const { id, group, title, unit, figure, lower = false } = row
  const { thermocline: ours, ...rest } = results
  const ratio = ours === undefined ? {} : mapValues(rest, (rounds) => ratioOf({ figure, lower }, ours, rounds))
  const summary = {
    ...{ id, group, title, unit, figure, lower },
    median: mapValues(results, medianOfEach),
    ratio,
    failures,
    others: rounded(others),
    rounds: mapValues(results, (rounds) => rounds.map((round) => mapValues(round, rounded))),
  }
  if (ours === undefined) return summary
  const peers = Object.keys(rest).filter((subject) => isPeer(subject, subjects[subject]))
  const best = peers.toSorted((a, b) => ratio[a] - ratio[b])[0]
  const target = targets[id]
  if (target === undefined) return { ...summary, beside: best }
  const beside = target.beside in ratio ? target.beside : best
  return { ...summary, beside, target: target.text, reached: target.reached({ ...summary, peers }) ?? 'unknown' }
}
