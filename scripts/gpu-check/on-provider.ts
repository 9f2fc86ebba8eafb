/** What a provider of a GPU shows of itself: answers, nodes, latency, what batching brings, what a second load saves. */
import { binaryBody } from '../bench-cases.ts'
import { measure } from './load.ts'
import { demand, type ProviderCase, settingsFor } from './machine.ts'
import { answersOf, MODELS, type Options, type Served, samplesOf, serving } from './stage.ts'
import { attempt, type Finding, NotRun } from './table.ts'

export type Answers = Readonly<Record<string, readonly number[]>>

interface Checked {
  readonly options: Options
  readonly gpu: string | undefined
  readonly provider: ProviderCase
}

/** Of which the batches are made; the first dimension of its tensors is free. */
const BATCHED = 'text-orientation'
const CONCURRENCIES = [1, 8, 32]

export async function checkProvider(checked: Checked, expected: Answers): Promise<Finding[]> {
  const { options, gpu, provider } = checked
  const { name } = provider
  const title = provider.library === 'inside' ? `${name}, inside the binary` : name
  const findings: Finding[] = []
  const add = async (what: string, make: () => Promise<string>) =>
    void findings.push(
      await attempt(`${title}: ${what}`, () => {
        // What is measured on something else says nothing of this.
        if (findings.some(({ result }) => result === 'failed'))
          throw new NotRun('the models do not run on it')
        demand(gpu, options, provider)
        return make()
      }),
    )
  const settings = settingsFor(provider.library === 'inside' ? undefined : options.libraries, [name, 'cpu'])
  const start = <T>(of: string, use: (served: Served) => Promise<T>, configs: Record<string, string> = {}) =>
    serving(options, { name: `${title.replaceAll(/\W+/g, '-')}-${of}`, settings, configs }, use)

  await add('runs the sample models, equal to the processor', () =>
    start('plain', (served) => compare(served, expected, provider)),
  )
  await add('latency, one request at a time', () => start('plain', (served) => latencies(served, options)))
  await add(`requests a second of ${BATCHED} without batching`, () =>
    start('plain', (served) => throughput(served, options)),
  )
  await add(`requests a second of ${BATCHED}, batches of 32 at most`, () =>
    start('batched', (served) => throughput(served, options), { [BATCHED]: BATCHING }),
  )
  await add('latency with tensors bound to memory of the device, and without', async () => {
    const bound = await start('plain', (served) => latencies(served, options))
    const configs = Object.fromEntries(MODELS.map((model) => [model, UNBOUND]))
    return `bound: ${bound}. Not bound: ${await start('unbound', (served) => latencies(served, options), configs)}`
  })
  await add('second load beside the first', async () => {
    const first = await start('loads', describeLoad)
    return `first ${first}; second ${await start('loads', describeLoad)}`
  })
  return findings
}

const UNBOUND = '[session.gpu]\nio_binding = false\n'
const BATCHING = 'max_batch_size = 32\n[batching]\nqueue_delay_us_max = 500\n'

/** Throws unless each model runs on the provider and answers as it should. */
async function compare(
  served: Served,
  expected: Answers,
  { name, tolerance }: ProviderCase,
): Promise<string> {
  const metrics = await served.metrics()
  const answers = await answersOf(served.url)
  const says: string[] = []
  for (const model of MODELS) {
    const reason = await served.reasonOf(model)
    const isOn = samplesOf(metrics, 'limpet_lane_provider').some(
      ({ labels }) => labels.includes(`model="${model}"`) && !labels.includes('CPUExecutionProvider'),
    )
    if (!isOn) throw new Error(`${model} does not run on ${name}: ${reason}`)
    const off = largestDifference(answers[model] ?? [], expected[model] ?? [])
    if (!(off <= tolerance)) throw new Error(`${model} is off by ${off}, at most ${tolerance}`)
    const nodes = samplesOf(metrics, 'limpet_model_nodes')
      .filter(({ labels }) => labels.includes(`model="${model}"`))
      .map(({ labels, value }) => `${value} on ${/provider="([^"]+)"/.exec(labels)?.[1]}`)
    says.push(`${model} off by ${off.toExponential(1)} at most (nodes: ${nodes.join(', ') || 'not told'})`)
  }
  return says.join('; ')
}

export function largestDifference(some: readonly number[], others: readonly number[]): number {
  if (some.length !== others.length || some.length === 0) return Number.NaN
  return Math.max(...some.map((value, index) => Math.abs(value - (others[index] ?? Number.NaN))))
}

export async function latencies({ url }: Served, { seconds }: Options): Promise<string> {
  const says: string[] = []
  for (const model of MODELS) {
    const load = { url: `${url}/v2/models/${model}/infer`, body: binaryBody(model), concurrency: 1, seconds }
    const { p50Ms, p99Ms } = await measure(load)
    says.push(`${model} p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`)
  }
  return says.join('; ')
}

export async function throughput({ url }: Served, { seconds }: Options): Promise<string> {
  const says: string[] = []
  for (const concurrency of CONCURRENCIES) {
    const body = binaryBody(BATCHED)
    const { rate, p99Ms } = await measure({
      url: `${url}/v2/models/${BATCHED}/infer`,
      body,
      concurrency,
      seconds,
    })
    says.push(`${rate.toFixed(0)}/s at ${concurrency} (p99 ${p99Ms.toFixed(1)} ms)`)
  }
  return says.join('; ')
}

async function describeLoad(served: Served): Promise<string> {
  const kept = samplesOf(await served.metrics(), 'limpet_engine_cache_loads_total')
  const counted = kept.map(({ labels, value }) => `${/outcome="([^"]+)"/.exec(labels)?.[1]} ${value}`)
  return `${(served.readyMs / 1000).toFixed(2)} s to ready (${counted.join(', ') || 'nothing kept'})`
}

const GPU_METRICS = ['nv_gpu_utilization', 'nv_gpu_memory_used_bytes', 'nv_gpu_power_usage']

/** What NVML tells, before and in the middle of a load. */
export async function gpuMetrics(options: Options, gpu: string | undefined): Promise<string> {
  demand(gpu, options, { needs: ['libnvidia-ml.so.1'], library: 'for GPUs' })
  const settings = settingsFor(options.libraries, ['cuda', 'cpu'])
  return await serving(options, { name: 'metrics', settings }, async (served) => {
    const look = async () => {
      const metrics = await served.metrics()
      return GPU_METRICS.map((metric) => samplesOf(metrics, metric)[0]?.value)
    }
    const idle = await look()
    const body = binaryBody('text-detector')
    const url = `${served.url}/v2/models/text-detector/infer`
    const seconds = Math.max(2, options.seconds)
    const [busy] = await Promise.all([
      Bun.sleep(seconds * 500).then(look),
      measure({ url, body, concurrency: 8, seconds }),
    ])
    const says = GPU_METRICS.map((metric, index) => `${metric} ${idle[index]} → ${busy[index]}`)
    if ([...idle, ...busy].includes(undefined)) throw new Error(`Not all are there: ${says.join('; ')}`)
    if (idle.every((value, index) => value === busy[index])) throw new Error(`None moves: ${says.join('; ')}`)
    return says.join('; ')
  })
}
