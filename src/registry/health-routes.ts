import type { Context } from 'hono'
import { z } from 'zod'
import type { Clock } from '../kit/clock.ts'
import type { Alert, Alerts } from './alerts.ts'
import type { Devices } from './devices.ts'
import { check } from './request-body.ts'
import type { Route } from './route.ts'
import type { TelemetryStore } from './telemetry.ts'

const DAY_MS = 86_400_000
const POINTS_MAX = 2_000
const NAMES_MAX = 64

export interface HealthRouteParts {
  readonly clock: Clock
  readonly devices: Devices
  readonly alerts: Alerts
  readonly telemetry: TelemetryStore
}

/** How devices are, and were. */
export function healthRoutes(parts: HealthRouteParts): Route[] {
  const { devices, alerts } = parts
  return [
    ['viewer', 'GET', '/v1/devices/:device/telemetry', (c) => answerHistory(c, parts)],
    [
      'viewer',
      'GET',
      '/v1/devices/:device/alerts',
      (c) => c.json({ alerts: alerts.of(devices.get(c.req.param('device') ?? '').id).map(describeAlert) }),
    ],
    ['viewer', 'GET', '/v1/alerts', (c) => answerAlerts(c, alerts)],
  ]
}

const Time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

const History = z.strictObject({
  names: z
    .string()
    .optional()
    .transform((text) => (text ?? '').split(',').filter((name) => name !== ''))
    .refine((names) => names.length <= NAMES_MAX, `at most ${NAMES_MAX} names`),
  from: Time.optional(),
  to: Time.optional(),
  points_max: z.coerce.number().int().min(2).max(POINTS_MAX).default(500),
})

/** `GET …/telemetry?names=a,b&from=&to=&points_max=`; without times, the last day. */
function answerHistory(c: Context, { clock, devices, telemetry }: HealthRouteParts): Response {
  const device = devices.get(c.req.param('device') ?? '')
  const asked = check(History, {
    names: c.req.query('names'),
    from: c.req.query('from'),
    to: c.req.query('to'),
    points_max: c.req.query('points_max'),
  })
  const toMs = asked.to ?? clock.now()
  const fromMs = asked.from ?? toMs - DAY_MS
  const series = telemetry.history(device.id, {
    names: asked.names,
    fromMs,
    toMs,
    pointsMax: asked.points_max,
  })
  return c.json({
    series: series.map(({ name, labels, points }) => ({
      name,
      labels,
      points: points.map(({ timeMs, min, mean, max, last }) => [timeMs, min, mean, max, last]),
    })),
  })
}

const Which = z.strictObject({
  active: z.enum(['true', 'false']).default('false'),
  severity: z.enum(['warning', 'critical']).optional(),
  count: z.coerce.number().int().min(1).max(10_000).optional(),
})

function answerAlerts(c: Context, alerts: Alerts): Response {
  const { active, severity, count } = check(Which, c.req.query())
  const found = alerts.list({ isActive: active === 'true', severity, count })
  return c.json({ alerts: found.alerts.map(describeAlert), total: found.total })
}

function describeAlert({ since, raised, cleared, ...alert }: Alert): object {
  return {
    ...alert,
    since: timeOf(since),
    raised: timeOf(raised),
    cleared: cleared === null ? null : timeOf(cleared),
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
