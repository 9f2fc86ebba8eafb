/**
 * Sends requests to the compiled binary that are nearly right, for as long as one likes: no crash, no hang, no answer but
 * 2xx and 4xx (and the few 5xx that are meant), memory bounded, and good requests among them answered right. Exits 1 with
 * the least request that shows a fault.
 *
 *   bun scripts/fuzz-serve.ts [--seconds 60] [--seed N] [--from CASE] [--binary FILE]
 */
import { parseArgs } from 'node:util'
import { fuzzServer } from '../test/fuzz/fuzz-server.ts'
import { BY_DESIGN } from '../test/fuzz/judge.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    from: { type: 'string', default: '0' },
    binary: { type: 'string' },
  },
})

console.log(`seed ${values.seed}, ${values.seconds} s, from case ${values.from}`)
for (const { status, why } of BY_DESIGN) console.log(`  ${status} is meant: ${why}`)
const report = await fuzzServer({
  seed: Number(values.seed),
  seconds: Number(values.seconds),
  from: Number(values.from),
  ...(values.binary === undefined ? {} : { binary: values.binary }),
  say: (line) => console.log(`${new Date().toISOString()} ${line}`),
})
for (const [key, count] of [...report.counts].sort()) console.log(`${String(count).padStart(9)}  ${key}`)
console.log(
  `${report.cases} cases, ${report.good} of them good and answered so; ${(report.residentBytes / 1e6).toFixed(0)} MB resident at the end`,
)
console.log(report.fault === undefined ? 'no fault' : `FAULT: ${report.fault}`)
process.exit(report.fault === undefined ? 0 : 1)
