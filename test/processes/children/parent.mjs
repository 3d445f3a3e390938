// What every child does with its parent: takes its task from the command line, tells it things, and ends with it.

export const task = JSON.parse(process.argv[2] ?? '{}')

process.on('disconnect', () => process.exit(0))

export function tell(message) {
  if (process.connected) process.send(message)
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
