/** A bad network between a client and a server on loopback: what happens to a connection is drawn from a seed. */
import { connect, createServer, type Socket } from 'node:net'

export interface Chaos {
  /** Of what comes down, until the connection is cut; undefined: never. */
  readonly cutAfterBytes: (() => number) | undefined
  /** Whether a cut connection is reset, or its end is never heard of. */
  readonly halfOpenShare: number
  /** How long a piece is held back. */
  readonly delayMs: () => number
}

export interface ChaosProxy {
  readonly port: number
  /** What has gone down to the client so far. */
  readonly bytesDown: () => number
  readonly cuts: () => number
  /** From now on, for the connections that are there as well. */
  set(chaos: Chaos): void
  close(): Promise<void>
}

export const CALM: Chaos = { cutAfterBytes: undefined, halfOpenShare: 0, delayMs: () => 0 }

/** Numbers from 0 to 1 that look random, the same for the same seed (mulberry32). */
export function createDraw(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export async function startChaos(to: { port: number }, draw: () => number): Promise<ChaosProxy> {
  let chaos = CALM
  let bytesDown = 0
  let cuts = 0
  const sockets = new Set<Socket>()
  const budgets = new Set<{ left: number }>()
  const draft = () => chaos.cutAfterBytes?.() ?? Number.POSITIVE_INFINITY
  const server = createServer((client) => {
    const upstream = connect(to.port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.once('close', () => sockets.delete(socket))
    }
    const budget = { left: draft() }
    budgets.add(budget)
    client.once('close', () => budgets.delete(budget))
    let isDead = false
    const cut = () => {
      cuts += 1
      isDead = true
      upstream.destroy()
      // Half-open: the client is told nothing, ever; its own patience has to end.
      if (draw() >= chaos.halfOpenShare) client.destroy()
    }
    void (async () => {
      for await (const piece of upstream as AsyncIterable<Buffer>) {
        const part = piece.subarray(0, budget.left)
        const delayMs = chaos.delayMs()
        if (delayMs > 0) await Bun.sleep(delayMs)
        bytesDown += part.length
        budget.left -= part.length
        if (!client.write(part))
          await new Promise((resolve) => client.once('drain', resolve).once('close', resolve))
        if (budget.left <= 0) return cut()
      }
      if (!isDead) client.end()
    })().catch(() => client.destroy())
    client.on('data', (piece) => {
      if (!isDead) upstream.write(piece)
    })
    client.once('close', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    bytesDown: () => bytesDown,
    cuts: () => cuts,
    set: (next) => {
      chaos = next
      for (const budget of budgets) budget.left = draft()
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
