// The checker of linearizability, checked: histories made by hand, right and wrong ones.
//
// Notation, one operation per line: `<begin>-<end> <operation>`, end `*` where the process was killed. p1 is put 1,
// u2 is update 2 that was done, U2 one that found nothing, d and D deletes likewise, g1/1 a get of write 1 on put 1,
// g a get that found nothing.

import type { ChangeKind } from 'thermocline'
import { describe, expect, test } from 'vitest'
import { type Event, findWrongKeys, isKeyLinearizable, type State } from './support/linearizability.js'
import { SnapshotJudge } from './support/snapshots.js'

function parse(text: string): Event[] {
  return text.split(',').map((part, client) => {
    const [, begin, end, letter, rest] = /^\s*(\d+)-(\d+|\*) ([puUdDg])(\S*)$/.exec(part) ?? []
    if (letter === undefined) throw new Error(`not an operation: ${part}`)
    const number = Number(rest)
    const base = { key: 'k', client, begin: Number(begin), end: end === '*' ? undefined : Number(end) }
    if (letter === 'p') return { ...base, kind: 'put', number }
    if (letter === 'g') return { ...base, kind: 'get', result: rest as State }
    if (letter === 'u' || letter === 'U') return { ...base, kind: 'update', number, result: letter === 'u' }
    return { ...base, kind: 'delete', result: letter === 'd' }
  })
}

const right: Record<string, string> = {
  'nothing but a get of nothing': '0-1 g',
  'put, then get': '0-1 p1, 2-3 g1/1',
  'a get beside the put sees it': '0-9 p1, 2-3 g1/1',
  'a get beside the put does not see it': '0-9 p1, 2-3 g',
  'two gets beside the put, the later one sees it': '0-9 p1, 2-3 g, 4-5 g1/1',
  'two puts beside each other, the first wins': '0-9 p1, 0-9 p2, 10-11 g1/1',
  'two puts beside each other, the second wins': '0-9 p1, 0-9 p2, 10-11 g2/2',
  'gets beside two puts see both': '0-9 p1, 0-9 p2, 2-3 g1/1, 4-5 g2/2',
  'update keeps the put': '0-1 p1, 2-3 u2, 4-5 g2/1',
  'two updates on one put': '0-1 p1, 2-3 u2, 4-5 u3, 6-7 g3/1',
  'update of nothing': '0-1 U1, 2-3 g',
  'update beside the put finds nothing': '0-9 p1, 1-2 U2, 10-11 g1/1',
  'update beside the put finds it': '0-9 p1, 1-2 u2, 10-11 g2/1',
  'put, delete, get': '0-1 p1, 2-3 d, 4-5 g',
  'of two deletes one finds it': '0-1 p1, 2-9 d, 2-9 D, 10-11 g',
  'deletes, the later one finds it because of a put beside both': '0-9 p1, 1-2 D, 3-4 d, 10-11 g',
  'delete of nothing': '0-1 D',
  'delete beside update, update first': '0-1 p1, 2-9 u2, 2-9 d, 10-11 g',
  'delete beside update, delete first': '0-1 p1, 2-9 U2, 2-9 d, 10-11 g',
  'ends and begins that touch are beside each other': '0-5 p1, 5-6 g',
  'a put in doubt came': '0-* p1, 8-9 g1/1',
  'a put in doubt did not come': '0-* p1, 8-9 g',
  'a put in doubt came late': '0-* p1, 2-3 g, 8-9 g1/1',
  'a delete in doubt came between two gets': '0-1 p1, 2-* d, 3-4 g1/1, 5-6 g',
  'an update in doubt came': '0-1 p1, 2-* u2, 3-4 g1/1, 5-6 g2/1',
  'an update in doubt of nothing': '0-* u2, 3-4 g',
  'a get without end': '0-1 p1, 2-* g9/9, 3-4 g1/1',
  'four beside each other, one order only': '0-9 p1, 0-9 u2, 0-9 d, 0-9 p3, 10-11 g3/3, 3-4 g2/1, 5-6 g',
}

const wrong: Record<string, string> = {
  'a get of nothing after the put': '0-1 p1, 2-3 g',
  'a get of what nobody wrote': '0-1 p1, 2-3 g2/2',
  'a get before the put sees it': '0-1 g1/1, 2-3 p1',
  'an old value after the new put': '0-1 p1, 2-3 p2, 4-5 g1/1',
  'sees it, then not, beside one put': '0-9 p1, 2-3 g1/1, 4-5 g',
  'new, then old, beside the second put': '0-1 p1, 2-9 p2, 3-4 g2/2, 5-6 g1/1',
  'back and forth between two puts': '0-9 p1, 0-9 p2, 1-2 g1/1, 3-4 g2/2, 5-6 g1/1',
  'a lost update': '0-1 p1, 2-3 u2, 4-5 g1/1',
  'an update on the wrong put': '0-1 p1, 2-3 p2, 4-5 u3, 6-7 g3/1',
  'an update that changes the put': '0-1 p1, 2-3 u2, 4-5 g2/2',
  'one of two updates is on a put that was replaced': '0-1 p1, 2-9 u2, 3-4 p3, 10-11 g2/1',
  'update finds nothing after the put': '0-1 p1, 2-3 U2',
  'update of nothing that was done': '0-1 u1',
  'a memory that comes back after its delete': '0-1 p1, 2-3 d, 4-5 g1/1',
  'both of two deletes find it': '0-1 p1, 2-9 d, 2-9 d',
  'neither of two deletes finds it': '0-1 p1, 2-9 D, 2-9 D',
  'a delete of nothing that was done': '0-1 d',
  'a delete before the put finds it': '0-1 d, 2-3 p1',
  'a delete that finds nothing, yet the memory is gone': '0-1 p1, 2-3 D, 4-5 g',
  'update after the delete was done': '0-1 p1, 2-3 d, 4-5 u2',
  'two readers see two puts in different orders': '0-9 p1, 0-9 p2, 10-11 g1/1, 12-13 g2/2',
  'a put in doubt came and went': '0-* p1, 2-3 g1/1, 4-5 g',
  'a put in doubt came before it began': '0-1 g1/1, 2-* p1',
  'a delete in doubt came twice': '0-1 p1, 2-* d, 3-4 g, 5-6 p2, 7-8 g',
  'an acknowledged put beside one in doubt is lost': '0-* p1, 0-1 p2, 2-3 g',
  'three gets, the middle one of another time': '0-1 p1, 2-3 p2, 4-5 g2/2, 6-7 g1/1, 8-9 g2/2',
  'an update in doubt without put came': '0-* u2, 3-4 g2/2',
}

describe('the checker accepts', () => {
  for (const [name, text] of Object.entries(right)) test(name, () => expect(isKeyLinearizable(parse(text))).toBe(true))
})

describe('the checker rejects', () => {
  for (const [name, text] of Object.entries(wrong)) test(name, () => expect(isKeyLinearizable(parse(text))).toBe(false))
})

test('the checker names the one wrong key among several', () => {
  const named = (key: string, text: string): Event[] => parse(text).map((event) => ({ ...event, key }))
  const events = [...named('a', '0-1 p1, 2-3 g1/1'), ...named('b', '0-1 p1, 2-3 g'), ...named('c', '0-9 p1, 2-3 g')]
  expect(findWrongKeys(events)).toEqual(['b'])
})

test('the checker decides a history in which everything is beside everything', () => {
  const puts = Array.from({ length: 12 }, (_, at) => `0-99 p${at + 1}`)
  expect(isKeyLinearizable(parse([...puts, '100-101 g5/5'].join()))).toBe(true)
  expect(isKeyLinearizable(parse([...puts, '100-101 g5/5', '102-103 g4/4'].join()))).toBe(false)
})

// The history of the snapshots below, from sequence 101 on: put a, a write of b and c, delete a, put b.
const feed = (
  [
    ['put', 'a'],
    ['put', 'b'],
    ['put', 'c'],
    ['delete', 'a'],
    ['put', 'b'],
  ] as [ChangeKind, string][]
).map(([kind, id], at) => ({ kind, id, sequence: 101 + at }))
const writes = [
  { first: 101, last: 101, begin: 0, end: 1 },
  { first: 102, last: 103, begin: 10, end: 20 },
  { first: 105, last: 105, begin: 50, end: 60 },
]

function snapshotProblems(begin: number, end: number, listed: string): string[] {
  const judge = new SnapshotJudge(feed, 100, writes)
  const memories = listed
    .split(' ')
    .filter(Boolean)
    .map((text) => {
      const [id = '', sequence] = text.split('@')
      return { id, sequence: Number(sequence), state: `${Number(sequence)}/1` as State }
    })
  judge.judge({ begin, end, memories })
  return judge.problems
}

describe('the judge of snapshots', () => {
  test('accepts every prefix that cuts no write, in its time', () => {
    expect(snapshotProblems(0, 5, '')).toEqual([])
    expect(snapshotProblems(2, 15, 'a@101')).toEqual([])
    expect(snapshotProblems(11, 15, 'a@101 b@102 c@103')).toEqual([])
    expect(snapshotProblems(21, 40, 'b@102 c@103')).toEqual([])
    expect(snapshotProblems(51, 70, 'c@103 b@105')).toEqual([])
  })

  test.each([
    ['a write cut in two', 11, 15, 'a@101 b@102'],
    ['an acknowledged write that is missing', 2, 15, ''],
    ['a write that had not begun', 2, 5, 'a@101 b@102 c@103'],
    ['two moments in one', 51, 70, 'b@102 c@103 b@105'],
    ['an old version beside a later delete', 61, 70, 'b@102 c@103'],
    ['a deleted memory beside a later put', 61, 70, 'a@101 c@103 b@105'],
    ['another order than that of the commits', 51, 70, 'b@105 c@103'],
    ['a sequence of another id', 11, 15, 'a@102'],
  ])('rejects %s', (_, begin, end, listed) => expect(snapshotProblems(begin, end, listed)).not.toEqual([]))
})
