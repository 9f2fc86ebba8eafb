/** Resolves when this process is asked to stop: a signal, or the end of the line to its parent. */
export function waitForStop(options: { isSupervised: boolean }): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => resolve(signal))
    if (!options.isSupervised) return
    // The parent holds the other end open and never writes: its end means that the parent is gone, however it went.
    process.stdin.once('end', () => resolve('the parent process is gone'))
    process.stdin.resume()
  })
}
