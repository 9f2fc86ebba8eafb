import type { Clock } from '../../kit/clock.ts'
import type { Files } from '../files.ts'
import type { Measured, Source } from '../source.ts'

/** They carry what the others carry already, or never leave the machine. */
const NOT_COUNTED = /^(lo|veth|docker|br-|virbr|cni|flannel|cali|tunl|dummy|ifb)/
const INTERFACES_MAX = 32
/** Of /proc/net/dev: bytes, packets, errs, drop, … received, then the same sent. */
const [RECEIVED, RECEIVE_ERRORS, SENT, SEND_ERRORS] = [0, 2, 8, 10] as const

interface Counters {
  readonly received: number
  readonly sent: number
  readonly errors: number
}

/** What goes over each network interface, since the reading before. */
export class Network implements Source {
  readonly name = 'network'
  readonly #files: Files
  readonly #clock: Clock
  #before: { readonly atMs: number; readonly counters: ReadonlyMap<string, Counters> } | undefined

  constructor({ files, clock }: { files: Files; clock: Clock }) {
    this.#files = files
    this.#clock = clock
  }

  async read(): Promise<Measured[]> {
    const text = await this.#files.read('proc/net/dev')
    if (text === undefined) return []
    const atMs = this.#clock.elapsed()
    const counters = parse(text)
    const before = this.#before
    this.#before = { atMs, counters }
    if (before === undefined || atMs <= before.atMs) return []
    const seconds = (atMs - before.atMs) / 1000
    return [...counters].flatMap(([name, now]) => {
      const then = before.counters.get(name)
      // One that was made anew counts from nothing.
      if (then === undefined || now.received < then.received || now.sent < then.sent) return []
      const labels = { interface: name }
      return [
        {
          name: 'network_received_bytes_per_second',
          labels,
          value: (now.received - then.received) / seconds,
        },
        { name: 'network_sent_bytes_per_second', labels, value: (now.sent - then.sent) / seconds },
        { name: 'network_errors_per_second', labels, value: Math.max(0, now.errors - then.errors) / seconds },
      ]
    })
  }
}

function parse(text: string): Map<string, Counters> {
  const found = new Map<string, Counters>()
  for (const [, name = '', rest = ''] of text.matchAll(/^\s*([^\s:|]+):\s*(.+)$/gm)) {
    const numbers = rest.trim().split(/\s+/).map(Number)
    if (NOT_COUNTED.test(name) || numbers.length < 16 || found.size >= INTERFACES_MAX) continue
    found.set(name, {
      received: numbers[RECEIVED] ?? 0,
      sent: numbers[SENT] ?? 0,
      errors: (numbers[RECEIVE_ERRORS] ?? 0) + (numbers[SEND_ERRORS] ?? 0),
    })
  }
  return found
}
