import type { Measured } from '../../ota/ports.ts'

/** What serve's `/metrics` say of one version; undefined where it is not among them. Prometheus' text format. */
export function readMeasured(
  text: string,
  { name, version, start }: { name: string; version: string; start: string },
): Measured | undefined {
  const lane = new Lane(text, { model: name, version })
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

class Lane {
  readonly #samples: {
    readonly name: string
    readonly labels: ReadonlyMap<string, string>
    readonly value: number
  }[]

  constructor(text: string, of: Readonly<Record<string, string>>) {
    this.#samples = [...text.matchAll(SAMPLE)]
      .map(([, name = '', labels = '', value]) => ({
        name,
        labels: readLabels(labels),
        value: Number(value),
      }))
      .filter(({ labels }) => hasLabels(labels, of))
  }

  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    return this.#samples.find((sample) => sample.name === name && hasLabels(sample.labels, labels))?.value
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
