import type { AlertState } from '../../health/alerts.ts'
import type { Measured } from '../../health/source.ts'

/** Of several of one kind the highest speaks. */
const SHOWN = [
  'cpu_percent',
  'memory_used_percent',
  'disk_used_percent',
  'temperature_celsius',
  'gpu_load_percent',
  'power_total_watts',
  'throttled',
] as const
/** A heartbeat is small: who wants to know more looks at the history. */
const MODELS_MAX = 8
const OF_A_MODEL = {
  model_requests_per_second: 'requests_per_second',
  model_p95_ms: 'p95_ms',
  model_error_percent: 'error_percent',
  model_queue_items: 'queue_items',
} as const

/** A few values of the moment, for a heartbeat. */
export function describeLive(
  measured: readonly Measured[],
  alerts: readonly Pick<AlertState, 'severity'>[],
): object {
  const isCritical = alerts.some(({ severity }) => severity === 'critical')
  return {
    status: isCritical ? 'critical' : alerts.length > 0 ? 'warning' : 'ok',
    alerts: alerts.length,
    values: Object.fromEntries(
      SHOWN.flatMap((shown) => {
        const values = measured.filter(({ name }) => name === shown).map(({ value }) => value)
        return values.length === 0 ? [] : [[shown, round(Math.max(...values))]]
      }),
    ),
    models: describeModels(measured),
  }
}

function describeModels(measured: readonly Measured[]): object[] {
  const models = new Map<string, Record<string, string | number>>()
  for (const { name, labels, value } of measured) {
    const shown = (OF_A_MODEL as Readonly<Record<string, string>>)[name]
    const { model = '', version = '' } = labels ?? {}
    if (shown === undefined) continue
    const key = JSON.stringify([model, version])
    const described = models.get(key) ?? { model, version }
    described[shown] = round(value)
    models.set(key, described)
  }
  return [...models.values()].slice(0, MODELS_MAX)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
