/** Requests from this process, so many at once: for wherever nothing can be installed. The client's own work is in the figures. */
import type { Body } from '../bench-cases.ts'

export interface Measured {
  readonly rate: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Enough for kernels to be chosen and clocks to rise. */
const WARM_UP_REQUESTS = 20

export async function measure(load: {
  readonly url: string
  readonly body: Body
  readonly concurrency: number
  readonly seconds: number
}): Promise<Measured> {
  const { url, body, concurrency, seconds } = load
  const ask = async () => {
    const answer = await fetch(url, { method: 'POST', body: body.body, headers: body.headers })
    const bytes = await answer.arrayBuffer()
    if (!answer.ok) throw new Error(`${url} answers ${answer.status}: ${Buffer.from(bytes).toString()}`)
  }
  for (let times = 0; times < WARM_UP_REQUESTS; times += 1) await ask()
  const latencies: number[] = []
  const began = performance.now()
  const client = async () => {
    while (performance.now() - began < seconds * 1000) {
      const asked = performance.now()
      await ask()
      latencies.push(performance.now() - asked)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  const tookMs = performance.now() - began
  latencies.sort((a, b) => a - b)
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]
  return {
    rate: (latencies.length / tookMs) * 1000,
    p50Ms: at(0.5) ?? Number.NaN,
    p99Ms: at(0.99) ?? Number.NaN,
  }
}
