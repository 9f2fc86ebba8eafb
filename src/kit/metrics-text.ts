import type { HistogramSnapshot } from './histogram.ts'

interface Sample {
  /** What stands behind the family's name: "", or "_bucket" and the like for a histogram. */
  readonly suffix?: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** One family in the text format of Prometheus (exposition format 0.0.4). */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

export const micros = ({ ns }: { ns: number }) => Math.round(ns / 1000)

export function writeFamilies(families: readonly Family[]): string {
  return `${families.map(writeFamily).join('\n')}\n`
}

export function histogramSamples(labels: Sample['labels'], histogram: HistogramSnapshot): Sample[] {
  const buckets = histogram.cumulative.map((value, index) => {
    const le = String(histogram.bounds[index] ?? '+Inf')
    return { suffix: '_bucket', labels: { ...labels, le }, value }
  })
  const { sum, count } = histogram
  return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: count }]
}

function writeFamily({ name, help, type, samples }: Family): string {
  const lines = samples.map(
    ({ suffix = '', labels, value }) => `${name}${suffix}${writeLabels(labels)} ${value}`,
  )
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join('\n')
}

function writeLabels(labels: Sample['labels']): string {
  const entries = Object.entries(labels)
  return entries.length === 0
    ? ''
    : `{${entries.map(([key, text]) => `${key}="${escapeLabel(text)}"`).join(',')}}`
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
