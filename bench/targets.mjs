// The figures to reach, each judged from the medians and ratios of one run.
//
// A ratio is how many times better ours is than a subject, from the rounds in which both ran.

/** `row`: { median, ratio }, both by subject. Undefined where a subject that is needed did not run. */
function ratioTo(subject, times, text) {
  return {
    text,
    reached: ({ ratio }) => (ratio[subject] === undefined ? undefined : ratio[subject] >= times),
  }
}

function bestOf(times, text) {
  return {
    text,
    reached: ({ ratio, peers }) => (peers.length === 0 ? undefined : peers.every((peer) => ratio[peer] >= times)),
  }
}

function atMost(key, limit, text) {
  return { text, reached: ({ median }) => median.thermocline[key] <= limit }
}

/** Both must hold; undefined as long as one is unknown and none has failed. */
function both(a, b, text) {
  return {
    text,
    reached(row) {
      const answers = [a.reached(row), b.reached(row)]
      return answers.includes(false) ? false : answers.includes(undefined) ? undefined : true
    },
  }
}

const recallMin = 0.99

export const targets = {
  P1: bestOf(4, '>= 4 x the best peer'),
  P2: both(ratioTo('better-sqlite3', 12), atMost('p999', 1000), 'p50 <= 1/12 of better-sqlite3, p99.9 < 1 ms'),
  P3: ratioTo('disk-probe', 1 / 1.3, 'p50 <= 1.3 x pwrite + fdatasync of the same bytes'),
  P4: ratioTo('lmdb', 2.5, '>= 2.5 x lmdb'),
  P5: ratioTo('lmdb', 6, ">= 6 x lmdb's get"),
  P6: ratioTo('lmdb', 2.5, '>= 2.5 x lmdb'),
  P7: bestOf(8, '>= 8 x the best peer'),
  P8: bestOf(2, '>= 2 x the best peer'),
  P9: both(atMost('smallMs', 3), atMost('largeMs', 3), '<= 3 ms, small and large'),
  P10: atMost('megabytes', 5, '<= 5 MB'),
  'P10-L': atMost('megabytes', 5, '<= 5 MB'),
  P11: atMost('allocated', 1.15, '<= 1.15'),
  P12: both(bestOf(1), ratioTo('memory-probe', 0.85), 'the best, and >= 85 % of the memory bandwidth'),
  P13: both(
    bestOf(1),
    { reached: ({ median }) => median.thermocline.recall >= recallMin },
    '>= the best graph index, recall@10 >= .99, nothing to build',
  ),
  P14: bestOf(10, '>= 10 x the best exact peer'),
}
