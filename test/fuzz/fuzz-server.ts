/** Sends cases to the compiled binary until the time is up or one shows a fault; then finds the least that shows it. */
import { BINARY } from '../kit/binary.ts'
import type { Line, Outcome } from './exchange.ts'
import { judge } from './judge.ts'
import { makeCase } from './make-case.ts'
import { shrink } from './shrink.ts'
import { type Stage, startStage } from './stage.ts'
import { encodeWire, isWhole, type WireCase } from './wire-case.ts'

export interface FuzzOptions {
  readonly seed: number
  readonly seconds: number
  readonly binary?: string
  /** The first case, to go on from or to come back to. */
  readonly from?: number
  readonly say: (line: string) => void
}

export interface FuzzReport {
  readonly cases: number
  /** How often each kind of case came to each outcome. */
  readonly counts: ReadonlyMap<string, number>
  readonly good: number
  readonly residentBytes: number
  readonly fault: string | undefined
}

const LINES = 3
/** Between two looks at the server. */
const EXAMINE_EVERY = 500
const SAY_EVERY_MS = 60_000

export async function fuzzServer(options: FuzzOptions): Promise<FuzzReport> {
  const stage = await startStage(options.binary ?? BINARY)
  try {
    return await new Campaign(options, stage).run()
  } finally {
    await stage.stop()
  }
}

class Campaign {
  readonly #options: FuzzOptions
  readonly #stage: Stage
  readonly #counts = new Map<string, number>()
  readonly #lines: Line[]
  #next: number
  #good = 0
  #fault: { what: string; index: number | undefined } | undefined

  constructor(options: FuzzOptions, stage: Stage) {
    this.#options = options
    this.#stage = stage
    this.#next = options.from ?? 0
    this.#lines = Array.from({ length: LINES }, () => stage.line())
  }

  async run(): Promise<FuzzReport> {
    const { seconds, say, from = 0 } = this.#options
    const began = performance.now()
    let saidMs = began
    while (performance.now() - began < seconds * 1000 && this.#fault === undefined) {
      const end = this.#next + EXAMINE_EVERY
      await Promise.all(this.#lines.map((line) => this.#send(line, end)))
      await this.#examine()
      if (performance.now() - saidMs < SAY_EVERY_MS) continue
      saidMs = performance.now()
      say(`${this.#next - from} cases, ${Math.round((await this.#stage.resident()) / 1e6)} MB resident`)
    }
    const residentBytes = await this.#stage.resident()
    for (const line of this.#lines) line.drop()
    const fault = this.#fault === undefined ? undefined : await this.#explain(this.#fault)
    return { cases: this.#next - from, counts: this.#counts, good: this.#good, residentBytes, fault }
  }

  async #send(line: Line, end: number): Promise<void> {
    while (this.#next < end && this.#fault === undefined) {
      const index = this.#next
      this.#next += 1
      const wire = makeCase(this.#options.seed, index)
      const outcome = await sendCase(line, wire)
      const key = `${wire.kind}: ${typeof outcome === 'string' ? outcome : outcome.status}`
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
      if (wire.isGood) this.#good += 1
      const what = judge(wire, outcome)
      if (what !== undefined) this.#fault ??= { what, index }
    }
  }

  async #examine(): Promise<void> {
    const what = await this.#stage.examine({ isQuiet: true })
    if (what !== undefined) this.#fault ??= { what, index: undefined }
  }

  /** On servers of its own: the one that showed it may be gone. */
  async #explain({ what, index }: { what: string; index: number | undefined }): Promise<string> {
    const { seed, binary, say } = this.#options
    say(`FAULT near case ${index ?? this.#next} of seed ${seed}: ${what}`)
    const log = lastLines(await this.#stage.log())
    const suspects =
      index === undefined
        ? Array.from({ length: EXAMINE_EVERY }, (_, back) => this.#next - EXAMINE_EVERY + back)
        : [index, ...Array.from({ length: LINES * 2 }, (_, back) => index - LINES + back)]
    for (const suspect of suspects.filter((each) => each >= 0)) {
      const wire = makeCase(seed, suspect)
      const shown = await showsFault(wire, binary)
      if (shown === undefined) continue
      const least = await shrink(wire, async (candidate) =>
        isAlike(await showsFault(candidate, binary), shown),
      )
      return `${what}\ncase ${suspect}, alone: ${shown}\nleast: ${printable(encodeWire(least))}\nlog: ${log}`
    }
    return `${what}\nnone of the cases ${suspects.at(0)} to ${suspects.at(-1)} shows it alone; --from ${Math.max(0, this.#next - 2_000)} comes near it\nlog: ${log}`
  }
}

async function sendCase(line: Line, wire: WireCase): Promise<Outcome> {
  return await line.exchange(encodeWire(wire), { isWhole: isWhole(wire), isHead: wire.method === 'HEAD' })
}

/** What a new server shows when it is asked this and nothing else. */
async function showsFault(wire: WireCase, binary: string | undefined): Promise<string | undefined> {
  const stage = await startStage(binary ?? BINARY)
  try {
    const line = stage.line()
    const what = judge(wire, await sendCase(line, wire))
    line.drop()
    const shown = what ?? (await stage.examine({ isQuiet: true }))
    return shown === undefined ? undefined : `${shown}\n  log: ${lastLines(await stage.log())}`
  } finally {
    await stage.stop()
  }
}

/** By its first words: what it answered, or how it failed to. */
const isAlike = (one: string | undefined, other: string) => one?.slice(0, 16) === other.slice(0, 16)

const lastLines = (log: string) => log.trim().split('\n').slice(-6).join('\n')

const PRINTED_MAX = 2_000

/** As the text of a JavaScript string. */
function printable(bytes: Uint8Array): string {
  const text = JSON.stringify(Buffer.from(bytes).toString('latin1'))
  return text.length > PRINTED_MAX ? `${text.slice(0, PRINTED_MAX)}… (${bytes.length} bytes)` : text
}
