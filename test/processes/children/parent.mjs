// What every child does with its parent: takes its task from the command line, tells it things, and ends with it.

export const task = JSON.parse(process.argv[2] ?? '{}')

process.on('disconnect', () => process.exit(0))

let unsent = 0
let isLeaving = false

function disconnectWhenSent() {
  if (isLeaving && unsent === 0 && process.connected) process.disconnect()
}

export function tell(message) {
  if (!process.connected) return
  unsent += 1
  process.send(message, () => {
    unsent -= 1
    disconnectWhenSent()
  })
}

/** Ends the conversation when the parent was sent all: a plain disconnect drops what the pipe had no room for yet. */
export function leave() {
  isLeaving = true
  disconnectWhenSent()
}

/** The next message of that type from the parent. */
export function hear(type) {
  return new Promise((resolve) => {
    const listen = (message) => {
      if (message.type !== type) return
      process.off('message', listen)
      resolve(message)
    }
    process.on('message', listen)
  })
}
