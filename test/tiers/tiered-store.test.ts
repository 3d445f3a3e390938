// openTiered adopts the contract of a Store: with its tiers empty, and with the same contract on memories that are in cold.

import { openTiered } from 'thermocline'
import { expect, test } from 'vitest'
import { storeContract } from '../contract/store-contract.js'
import { temporaryDirectory } from '../support/temporary.js'

const beyondStore = [
  'tierOf',
  'recall',
  'reinforce',
  'activationOf',
  'forget',
  'supersede',
  'replaceMany',
  'maintain',
  'on',
]

storeContract('openTiered', (directory, options) => openTiered(directory, { ...options, mover: false }), beyondStore)

test('a directory that holds something else is refused and stays as it is', () => {
  const directory = temporaryDirectory()
  expect(() => openTiered(process.cwd(), { dimensions: 2 })).toThrowError(/something else/)
  expect(() => openTiered(`${directory}/absent`, { create: false })).toThrowError()
  expect(() => openTiered(`${directory}/absent`, { dimensions: 2, create: false })).toThrowError()
})
