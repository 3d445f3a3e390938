// Jobs of snapshots.test.ts: movers, each of whom transfers between accounts of its own and stamps every move, and
// auditors, who check that each snapshot is one moment.
//
// A move of mover m is one `write`: two accounts (update or put), the ledger (put) and the token, which is deleted
// under one id and put under the next. All get the number of the move as stamp. `shared[m]` is the last move of mover
// m that returned; the word after those counts the auditors that have seen enough, until when movers go on; the last word
// counts the movers that are done.

import { embeddingOf, hashOf } from '../../support/memories.mjs'

const tokenPlaces = 5
const bulkEvery = 100
const bulkOperations = 300 // more than the 256 records of one internal batch

function memoryOf(id, metadata, dimensions) {
  return { id, embedding: embeddingOf(hashOf(id), dimensions), content: JSON.stringify(metadata), metadata }
}

/** What mover m puts first, with stamp 0. */
export function firstMemories(mover, accounts, balance, dimensions) {
  const own = (kind, at, metadata) => memoryOf(`${kind}-${mover}-${at}`, { mover, kind, ...metadata }, dimensions)
  return [
    ...Array.from({ length: accounts }, (_, at) => own('account', at, { balance, stamp: 0 })),
    own('ledger', 0, { stamp: 0 }),
    own('token', 0, { stamp: 0 }),
  ]
}

/** Makes at least `moves` moves. Returns the count of sequences that they took. */
export function move(context) {
  const { accounts, balance, moves, movers, dimensions } = context.arguments
  const { store, shared, worker: mover } = context
  const balances = new Array(accounts).fill(balance)
  let sequences = 0
  const account = (at, stamp) => {
    const id = `account-${mover}-${at}`
    const metadata = { mover, kind: 'account', balance: balances[at], stamp }
    if (context.random() < 0.5) return { put: memoryOf(id, metadata, dimensions) }
    return { update: id, patch: { metadata, content: JSON.stringify(metadata) } }
  }
  const stamped = (kind, at, stamp) => ({
    put: memoryOf(`${kind}-${mover}-${at}`, { mover, kind, stamp }, dimensions),
  })
  context.start()
  const auditors = context.workers - movers
  const isEnough = (stamp) => stamp > moves && Atomics.load(shared, movers) === auditors
  for (let stamp = 1; !isEnough(stamp) && !context.stopped; stamp++) {
    const source = context.below(accounts)
    const target = (source + 1 + context.below(accounts - 1)) % accounts
    const amount = context.below(100)
    balances[source] -= amount
    balances[target] += amount
    const operations = [
      account(source, stamp),
      { delete: `token-${mover}-${(stamp - 1) % tokenPlaces}` },
      stamped('ledger', 0, stamp),
      account(target, stamp),
      stamped('token', stamp % tokenPlaces, stamp),
    ]
    if (stamp % bulkEvery === 0) {
      for (let at = 0; at < bulkOperations; at++) operations.push(account(at % accounts, stamp))
    }
    const { lastSequence } = context.timed('write', () => store.write(operations))
    if (!(lastSequence >= sequences)) throw new Error('write returned an old sequence')
    sequences += operations.length
    Atomics.store(shared, mover, stamp)
    Atomics.notify(shared, mover)
  }
  Atomics.add(shared, shared.length - 1, 1)
  for (let other = 0; other < movers; other++) Atomics.notify(shared, other)
  return sequences
}

/** Throws unless these memories are one moment, not before `floors`. */
function checkMoment(path, memories, floors, { movers, accounts, balance }) {
  const fail = (problem) => {
    throw new Error(`${path}: ${problem}`)
  }
  const seen = new Set()
  const states = floors.map(() => ({ accounts: 0, sum: 0, stamp: 0, ledger: [], token: [] }))
  for (const { id, content, metadata } of memories) {
    if (seen.has(id)) fail(`${id} twice`)
    seen.add(id)
    if (content !== JSON.stringify(metadata)) fail(`${id} is torn`)
    const state = states[metadata.mover]
    if (metadata.kind === 'account') {
      state.accounts++
      state.sum += metadata.balance
      state.stamp = Math.max(state.stamp, metadata.stamp)
    } else state[metadata.kind].push({ id, stamp: metadata.stamp })
  }
  for (let mover = 0; mover < movers; mover++) {
    const { accounts: count, sum, stamp, ledger, token } = states[mover]
    const of = `of mover ${mover}`
    if (count !== accounts) fail(`${count} accounts ${of}, not ${accounts}`)
    if (sum !== accounts * balance) fail(`the accounts ${of} sum up to ${sum}, not ${accounts * balance}`)
    if (ledger.length !== 1) fail(`${ledger.length} ledgers ${of}`)
    if (token.length !== 1) fail(`${token.length} tokens ${of}: ${token.map(({ id }) => id)}`)
    if (ledger[0].stamp !== stamp || token[0].stamp !== stamp) {
      fail(`two moments ${of}: accounts ${stamp}, ledger ${ledger[0].stamp}, token ${token[0].stamp}`)
    }
    if (token[0].id !== `token-${mover}-${stamp % tokenPlaces}`) fail(`${token[0].id} at move ${stamp}`)
    if (stamp < floors[mover]) fail(`move ${stamp} ${of}, but ${floors[mover]} had returned`)
  }
}

function checkOrder(memories) {
  memories.reduce((previous, next) => {
    if (next.sequence <= previous.sequence) throw new Error('entries: not in commit order')
    return next
  })
}

/** Takes snapshots until the movers are done; `path` is entries, slowEntries, searchSync or search. Returns the count. */
export async function audit(context) {
  const { path, movers, dimensions, snapshotsMin } = context.arguments
  const { store, shared } = context
  const done = () => Atomics.load(shared, shared.length - 1) === movers || context.stopped
  const query = new Float32Array(dimensions).fill(1)
  const limit = { limit: 1_000_000 }
  const memoriesOf = (hits) => hits.map(({ memory }) => memory)
  // Waits in the middle of the iteration until every mover has gone on.
  const readSlowly = () => {
    const entries = store.entries()
    const memories = [entries.next().value]
    const floors = Array.from({ length: movers }, (_, mover) => Atomics.load(shared, mover))
    for (let mover = 0; mover < movers; mover++) {
      while (Atomics.load(shared, mover) === floors[mover] && !done()) {
        Atomics.wait(shared, mover, floors[mover], 100)
      }
    }
    for (const memory of entries) memories.push(memory)
    return memories
  }
  const read = {
    entries: () => [...store.entries()],
    slowEntries: readSlowly,
    searchSync: () => memoriesOf(store.searchSync(query, limit)),
    search: async () => memoriesOf(await store.search(query, limit)),
  }[path]
  let snapshots = 0
  context.start()
  do {
    const floors = Array.from({ length: movers }, (_, mover) => Atomics.load(shared, mover))
    const startedAt = performance.now()
    const memories = await read()
    context.noted(path, performance.now() - startedAt)
    checkMoment(path, memories, floors, context.arguments)
    if (path === 'entries' || path === 'slowEntries') checkOrder(memories)
    if (++snapshots === snapshotsMin) Atomics.add(shared, movers, 1)
  } while (!done())
  return snapshots
}
