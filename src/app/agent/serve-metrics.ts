import type { Measured } from '../../ota/ports.ts'

/** What serve's `/metrics` say of one version; undefined where it is not among them. Prometheus' text format. */
export function readMeasured(
  text: string,
  { name, version, start }: { name: string; version: string; start: string },
): Measured | undefined {
  const lane = new Lane(readSamples(text), { model: name, version })
  const requests = lane.value('nv_inference_request_success')
  if (requests === undefined) return undefined
  const errors = lane.value('nv_inference_request_failure', { reason: 'BACKEND' }) ?? 0
  return {
    start,
    requests: requests + errors,
    errors,
    notFinite: lane.value('limpet_inference_not_finite_total') ?? 0,
    latency: lane.buckets('nv_inference_request_duration_histogram_us'),
  }
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)\{([^}]*)\} (\S+)$/gm
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g

export interface Sample {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

/** Each version that serves, by what it says of itself. */
export function readLanes(text: string): Lane[] {
  const byLane = new Map<string, Sample[]>()
  for (const sample of readSamples(text)) {
    const [model, version] = [sample.labels.get('model'), sample.labels.get('version')]
    if (model === undefined || version === undefined) continue
    const key = JSON.stringify([model, version])
    const samples = byLane.get(key)
    if (samples === undefined) byLane.set(key, [sample])
    else samples.push(sample)
  }
  return [...byLane].map(([key, samples]) => {
    const [model = '', version = ''] = JSON.parse(key) as string[]
    return new Lane(samples, { model, version })
  })
}

export function readSamples(text: string): Sample[] {
  return [...text.matchAll(SAMPLE)].map(([, name = '', labels = '', value]) => ({
    name,
    labels: readLabels(labels),
    value: Number(value),
  }))
}

class Lane {
  readonly model: string
  readonly version: string
  readonly #samples: readonly Sample[]

  constructor(samples: readonly Sample[], { model, version }: { model: string; version: string }) {
    this.model = model
    this.version = version
    this.#samples = samples.filter(({ labels }) => hasLabels(labels, { model, version }))
  }

  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    return this.#samples.find((sample) => sample.name === name && hasLabels(sample.labels, labels))?.value
  }

  /** By provider; empty where it is not known. */
  get nodes(): Record<string, number> {
    const samples = this.#samples.filter(({ name }) => name === 'limpet_model_nodes')
    return Object.fromEntries(samples.map(({ labels, value }) => [labels.get('provider') ?? '', value]))
  }

  /** What a family says of it, a sample for each of the family's own labels. */
  samples(name: string): readonly Sample[] {
    return this.#samples.filter((sample) => sample.name === name)
  }

  /** How many it was taken from because they failed while they ran; undefined where it has none that could. */
  get providersFailed(): number | undefined {
    if (this.value('limpet_provider_failed_runs_total') === undefined) return undefined
    return this.#samples.filter(({ name }) => name === 'limpet_lane_provider_failed').length
  }

  /** From microseconds to milliseconds. */
  buckets(name: string): Measured['latency'] {
    return this.#samples
      .filter((sample) => sample.name === `${name}_bucket`)
      .map(({ labels, value }) => {
        const bound = labels.get('le') ?? ''
        return { upToMs: bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound) / 1000, count: value }
      })
      .sort((a, b) => a.upToMs - b.upToMs)
  }
}

function readLabels(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(LABEL)].map(([, name = '', value = '']) => [name, value.replaceAll(/\\(.)/g, '$1')]),
  )
}

function hasLabels(labels: ReadonlyMap<string, string>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels.get(name) === value)
}
