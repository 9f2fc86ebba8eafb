/** Requests and files that are nearly right, for a bounded time; `scripts/fuzz-serve.ts` does the same for hours. */
import { expect, test } from 'bun:test'
import { SEED } from '../kit/seed.ts'
import { fuzzServer } from './fuzz-server.ts'
import { PARSERS, parserCase } from './parsers.ts'

const SECONDS = 15
const PARSER_CASES = 2_000

test(
  'whatever comes is answered 2xx or 4xx, the server lives, and good requests are answered right meanwhile',
  async () => {
    const report = await fuzzServer({ seed: SEED, seconds: SECONDS, say: console.log })
    expect(report.fault).toBeUndefined()
    // Nothing is shown by a run that asked nothing, or nothing good.
    expect(report.cases).toBeGreaterThan(500)
    expect(report.good).toBeGreaterThan(50)
  },
  { timeout: 180_000 },
)

test.each(Object.keys(PARSERS))(
  '%s: read, or refused in words',
  (parser) => {
    for (let index = 0; index < PARSER_CASES; index += 1) {
      const { text, run } = parserCase(parser, SEED, index)
      const fault = run()
      if (fault !== undefined)
        throw new Error(`Case ${index} of seed ${SEED}: ${fault}\n${JSON.stringify(text.slice(0, 2_000))}`)
    }
  },
  { timeout: 60_000 },
)
