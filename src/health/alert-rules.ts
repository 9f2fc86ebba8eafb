import type { AlertRule } from './alerts.ts'

type Limits = Readonly<
  Record<RuleName, { readonly warning?: number | undefined; readonly critical?: number | undefined }>
>
type RuleName = (typeof RULES)[number]['limits']

/** What of all that is measured can be an alert, and how far it has to come back before it is none. */
const RULES = [
  {
    name: 'temperature',
    limits: 'temperature_celsius',
    measured: 'temperature_celsius',
    subject: 'zone',
    margin: 5,
    unit: ' °C',
  },
  { name: 'throttle', limits: 'throttled', measured: 'throttled', subject: 'by', margin: 0, unit: '' },
  {
    name: 'disk',
    limits: 'disk_used_percent',
    measured: 'disk_used_percent',
    subject: 'disk',
    margin: 2,
    unit: ' %',
  },
  {
    name: 'inodes',
    limits: 'disk_used_percent',
    measured: 'inodes_used_percent',
    subject: 'disk',
    margin: 2,
    unit: ' %',
  },
  {
    name: 'disk_wear',
    limits: 'disk_wear_percent',
    measured: 'disk_wear_percent',
    subject: 'disk',
    margin: 0,
    unit: ' %',
  },
  { name: 'memory', limits: 'memory_used_percent', measured: 'memory_used_percent', margin: 3, unit: ' %' },
  {
    name: 'error_rate',
    limits: 'model_error_percent',
    measured: 'model_error_percent',
    subject: 'model',
    margin: 1,
    unit: ' %',
  },
  { name: 'p95', limits: 'model_p95_ms', measured: 'model_p95_ms', subject: 'model', margin: 0, unit: ' ms' },
  {
    name: 'provider',
    limits: 'model_providers_failed',
    measured: 'model_providers_failed',
    subject: 'model',
    margin: 0,
    unit: ' failed',
  },
  {
    name: 'certificate',
    limits: 'certificate_days',
    measured: 'certificate_days',
    margin: 0,
    unit: ' days',
    beyond: 'below',
  },
  {
    name: 'metadata',
    limits: 'metadata_hours',
    measured: 'metadata_hours',
    margin: 1,
    unit: ' hours',
    beyond: 'below',
  },
  { name: 'clock', limits: 'clock_offset_seconds', measured: 'clock_offset_seconds', margin: 1, unit: ' s' },
] as const

export function alertRules(limits: Limits): AlertRule[] {
  return RULES.map(({ limits: of, ...rule }) => {
    const { warning, critical } = limits[of]
    return { beyond: 'above', ...rule, warning, critical }
  })
}
