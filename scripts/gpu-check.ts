/**
 * What only a GPU can show, with the compiled binary and ONNX Runtime's build for GPUs: which models run where, equal to
 * the processor, how fast, and what is said when a provider cannot be had. Prints a table; exit code 1: a check failed.
 * `gpu-check.sh` packs all that it needs for a machine without a network, and runs it there.
 *
 *   bun scripts/gpu-check.ts [--binary FILE] [--models DIR] [--libraries DIR] [--seconds 2] [--json FILE]
 *                            [--no-gpu]         as if there were none
 *                            [--stand-in NAME]  as if what is called so were one: Vulkan on the processor, for a rehearsal
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { BINARY, MODELS } from '../test/kit/binary.ts'
import { withoutDriver, wrongLibrary } from './gpu-check/fallback.ts'
import { findGpu, PROVIDERS, settingsFor } from './gpu-check/machine.ts'
import { type Answers, checkProvider, gpuMetrics, latencies, throughput } from './gpu-check/on-provider.ts'
import { answersOf, type Options, serving } from './gpu-check/stage.ts'
import { asTable, attempt, type Finding, NotRun } from './gpu-check/table.ts'

const { values } = parseArgs({
  options: {
    binary: { type: 'string', default: BINARY },
    models: { type: 'string', default: MODELS },
    libraries: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    'no-gpu': { type: 'boolean', default: false },
    'stand-in': { type: 'string' },
    json: { type: 'string' },
  },
})

async function main(): Promise<number> {
  const seconds = Number(values.seconds)
  if (!(seconds > 0 && seconds <= 60))
    throw new Error(`Cannot use --seconds "${values.seconds}": expected up to 60`)
  for (const path of [
    values.binary,
    values.models,
    ...(values.libraries === undefined ? [] : [values.libraries]),
  ])
    if (!existsSync(path)) throw new Error(`Cannot check: there is no "${path}"`)
  const folder = await mkdtemp(join(tmpdir(), 'limpet-gpu-check-'))
  const libraries = values.libraries === undefined ? undefined : resolve(values.libraries)
  const options = {
    binary: resolve(values.binary),
    models: resolve(values.models),
    libraries,
    seconds,
    folder,
  }
  const gpu = values['no-gpu'] ? undefined : (values['stand-in'] ?? findGpu())
  try {
    const findings = await check(options, gpu)
    if (values.json !== undefined) await Bun.write(values.json, `${JSON.stringify(findings, null, 1)}\n`)
    console.log(asTable(findings))
    return findings.some(({ result }) => result === 'failed') ? 1 : 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function check(options: Options, gpu: string | undefined): Promise<Finding[]> {
  const findings: Finding[] = []
  const add = (finding: Finding) => {
    findings.push(finding)
    console.error(`${finding.result}: ${finding.check}`)
  }
  let expected: Answers = {}
  add(
    await attempt('the GPU and its driver', async () => {
      if (gpu === undefined) throw new NotRun('no NVIDIA GPU')
      return gpu
    }),
  )
  const settings = settingsFor(options.libraries, ['cpu'])
  const onProcessor = (what: string, use: Parameters<typeof serving<string>>[2]) =>
    attempt(`processor: ${what}`, () => serving(options, { name: 'processor', settings }, use))
  add(
    await onProcessor('runs the sample models', async ({ url, readyMs }) => {
      expected = await answersOf(url)
      return `${availableParallelism()} cores, ready after ${(readyMs / 1000).toFixed(2)} s`
    }),
  )
  add(await onProcessor('latency, one request at a time', (served) => latencies(served, options)))
  add(await onProcessor('requests a second of text-orientation', (served) => throughput(served, options)))
  for (const provider of PROVIDERS)
    for (const finding of await checkProvider({ options, gpu, provider }, expected)) add(finding)
  add(await attempt('nv_gpu_* metrics are there and move', () => gpuMetrics(options, gpu)))
  add(
    await attempt('a wrong CUDA provider library is passed over, and named', () =>
      wrongLibrary(options, expected),
    ),
  )
  add(
    await attempt('without a driver CUDA is passed over, and named', () => withoutDriver(options, expected)),
  )
  return findings
}

process.exit(await main())
