const WAIT_MS_MAX = 20_000

/** Asks again and again until the answer is a good one; fails when that takes too long. */
export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + WAIT_MS_MAX
  while (performance.now() < deadline) {
    const found = await look()
    if (found !== undefined) return found
    await Bun.sleep(10)
  }
  throw new Error(`Not within ${WAIT_MS_MAX} ms: ${what}`)
}
