// The figures to reach, each judged from the medians and ratios of one run.
//
// `reached(row)`: true, false, or undefined where a subject that is needed did not run. `row` has `median` and
// `ratio`, both by subject, and `peers`, the subjects that count as peers. A ratio is how many times better ours was.
// `beside`: the subject that the target is about; absent: the best peer.

const recallMin = 0.99

function timesSubject(subject, times, text) {
  return {
    text,
    beside: subject,
    reached: ({ ratio }) => (ratio[subject] === undefined ? undefined : ratio[subject] >= times),
  }
}

function timesBest(times, text) {
  return {
    text,
    reached: ({ ratio, peers }) => (peers.length === 0 ? undefined : peers.every((peer) => ratio[peer] >= times)),
  }
}

function atMost(key, limit, text) {
  return { text, reached: ({ median }) => median.thermocline[key] <= limit }
}

function atLeast(key, limit, text) {
  return { text, reached: ({ median }) => median.thermocline[key] >= limit }
}

/** Both must hold; not judged as long as one is not and none has failed. */
function both(a, b, text) {
  return {
    text,
    beside: a.beside,
    reached(row) {
      const answers = [a.reached(row), b.reached(row)]
      return answers.includes(false) ? false : answers.includes(undefined) ? undefined : true
    },
  }
}

/** Nobody reads every embedding in less time than reading takes: a faster search left some out. */
const readEverything = {
  reached: ({ ratio }) => (ratio['memory-probe'] === undefined ? undefined : ratio['memory-probe'] <= 1.5),
}

export const targets = {
  P1: timesBest(4, '>= 4 x the best peer'),
  P2: both(timesSubject('better-sqlite3', 12), atMost('p999', 1000), 'p50 <= 1/12 of better-sqlite3, p99.9 < 1 ms'),
  P3: timesSubject('disk-probe', 1 / 1.3, 'p50 <= 1.3 x pwrite + fdatasync of the same bytes'),
  P4: timesSubject('lmdb', 2.5, '>= 2.5 x lmdb'),
  P5: timesSubject('lmdb', 6, '>= 6 x get of lmdb'),
  P6: timesSubject('lmdb', 2.5, '>= 2.5 x lmdb'),
  P7: timesBest(8, '>= 8 x the best peer'),
  P8: timesBest(2, '>= 2 x the best peer'),
  P9: both(atMost('smallMs', 3), atMost('largeMs', 3), '<= 3 ms, small and large'),
  P10: atMost('megabytes', 5, '<= 5 MB'),
  'P10-L': atMost('megabytes', 5, '<= 5 MB'),
  P11: atMost('allocated', 1.15, '<= 1.15'),
  P12: both(
    timesBest(1),
    both(timesSubject('memory-probe', 0.85), readEverything),
    'the best, and >= 85 % of the memory bandwidth',
  ),
  P13: both(
    both(timesBest(1), atLeast('recall', recallMin)),
    atMost('tail', 2),
    '>= the best index, recall@10 >= .99, nothing to build, p99 <= 2 x p50',
  ),
  'P13-2': both(timesBest(1), atLeast('recall', recallMin), '>= the best index, recall@10 >= .99, nothing to build'),
  'P13-N': atMost('growth', 1.15, 'no faster than the number of memories (1.15 for the noise of a run)'),
  P14: timesBest(10, '>= 10 x the best exact peer'),
  P15: timesSubject('lmdb', 3, '>= 3 x get of lmdb'),
  P16: atMost('seconds', 10, '<= 10 s for 100,000'),
  P17: atMost('f32', 0.6, '<= 0.6'),
  'P17-P': atMost('f32', 0.6, '<= 0.6'),
  P18: atMost('p50', 10, 'p50 <= 10 ms'),
  P19: atMost('megabytes', 50, '<= 50 MB'),
  P20: atMost('share', 1.05, '<= 1.05'),
}
