// Whether a history of one key could have happened one operation after the other: the search of Wing and Gong, with
// Lowe's memo of (operations linearized, state).
//
// A history is linearizable if its operations can be put in an order in which each begins before every other that
// comes after it ends, and in which each result is what the model gives. An operation without end (its process was
// killed) may take its place anywhere after its begin, with whatever result, or have none.
// Keys do not depend on each other, so each is searched by itself (linearizability is local). Depth is that of the
// history, so the stack is an array.

/** The memory of one key: `number` of the write that made it, `base` of the put that its embedding comes from. */
export type State = '' | `${number}/${number}`

export type KeyOperation =
  | { kind: 'get'; result?: State }
  | { kind: 'put'; number: number }
  | { kind: 'update'; number: number; result?: boolean }
  | { kind: 'delete'; result?: boolean }

/** One operation of a history; times in nanoseconds. */
export type Event = KeyOperation & { key: string; client: number; begin: number; end: number | undefined }

/** The state after an operation, or undefined where its result was another one. */
function step(state: State, event: Event): State | undefined {
  const isPending = event.end === undefined
  switch (event.kind) {
    case 'get':
      return isPending || event.result === state ? state : undefined
    case 'put':
      return `${event.number}/${event.number}`
    case 'update': {
      const present = state !== ''
      if (!isPending && event.result !== present) return undefined
      return present ? `${event.number}/${Number(state.split('/')[1])}` : state
    }
    case 'delete':
      return isPending || event.result === (state !== '') ? '' : undefined
  }
}

interface Level {
  readonly done: bigint
  readonly state: State
  /** What may come next, and which of it was not tried yet. */
  readonly next: readonly number[]
  tried: number
}

/** Those that began before every operation left has ended. */
function candidates(events: readonly Event[], done: bigint): number[] {
  let firstEnd = Number.POSITIVE_INFINITY
  const next: number[] = []
  for (let at = 0; at < events.length; at++) {
    if ((done >> BigInt(at)) & 1n) continue
    const { begin, end } = events[at] as Event
    if (begin > firstEnd) break // sorted by begin
    next.push(at)
    firstEnd = Math.min(firstEnd, end ?? Number.POSITIVE_INFINITY)
  }
  return next.filter((at) => (events[at] as Event).begin <= firstEnd)
}

/** Whether the history of one key, from an absent memory on, is linearizable. */
export function isKeyLinearizable(history: readonly Event[]): boolean {
  const events = [...history].sort((left, right) => left.begin - right.begin)
  let mustCome = 0n
  events.forEach(({ end }, at) => {
    if (end !== undefined) mustCome |= 1n << BigInt(at)
  })
  const seen = new Set<string>()
  const stack: Level[] = [{ done: 0n, state: '', next: candidates(events, 0n), tried: 0 }]
  for (;;) {
    const level = stack.at(-1)
    if (level === undefined) return false
    if ((level.done & mustCome) === mustCome) return true
    const at = level.next[level.tried++]
    if (at === undefined) {
      stack.pop()
      continue
    }
    const state = step(level.state, events[at] as Event)
    if (state === undefined) continue
    const done = level.done | (1n << BigInt(at))
    const memo = `${done.toString(36)} ${state}`
    if (seen.has(memo)) continue
    seen.add(memo)
    stack.push({ done, state, next: candidates(events, done), tried: 0 })
  }
}

/** The keys whose history is not linearizable. */
export function findWrongKeys(history: readonly Event[]): string[] {
  const keys = new Map<string, Event[]>()
  for (const event of history) {
    const events = keys.get(event.key)
    if (events === undefined) keys.set(event.key, [event])
    else events.push(event)
  }
  return [...keys].flatMap(([key, events]) => (isKeyLinearizable(events) ? [] : [key]))
}
