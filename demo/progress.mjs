// A progress bar on a terminal, plain lines elsewhere.

/** Returns `update(done)`; call it with `total` at last. At most ten lines where there is no terminal. */
export function createProgress(label, total, stream = process.stdout) {
  const startedAt = performance.now()
  let shown = -1
  return (done) => {
    const finished = done >= total
    const step = finished ? 10 : Math.floor((done / total) * (stream.isTTY ? 100 : 10))
    if (!finished && step === shown) return
    shown = step
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    const text = `${done.toLocaleString('en')} of ${total.toLocaleString('en')}, ${seconds} s`
    if (stream.isTTY) {
      const filled = Math.round((done / total) * 30)
      stream.write(`\r  ${label} [${'#'.repeat(filled)}${'.'.repeat(30 - filled)}] ${text} ${finished ? '\n' : ''}`)
    } else {
      stream.write(`  ${label}: ${text}\n`)
    }
  }
}
