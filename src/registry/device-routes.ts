import type { Context } from 'hono'
import { z } from 'zod'
import { present } from '../kit/assert.ts'
import type { Alerts } from './alerts.ts'
import { DEVICE_ID } from './device-id.ts'
import type { Devices } from './devices.ts'
import type { Enrolment } from './enrolment.ts'
import { type FleetView, LIVENESS } from './fleet-view.ts'
import type { Liveness } from './liveness.ts'
import type { RateLimit } from './rate-limit.ts'
import { check, readJson } from './request-body.ts'
import type { Route } from './route.ts'

const WEEK_SECONDS = 7 * 24 * 3600
const HARDWARE_BYTES_MAX = 16 * 1024
const EVENTS_MAX = 1000
const DEVICES_MAX = 500

const DeviceId = z.string().regex(DEVICE_ID, `expected a name that matches ${DEVICE_ID.source}`)

const NewToken = z.strictObject({
  device: DeviceId.optional(),
  expires_seconds: z
    .int()
    .min(60)
    .max(WEEK_SECONDS)
    .default(24 * 3600),
})

const Enrol = z.strictObject({
  token: z.string().max(200),
  device: DeviceId.optional(),
  claim: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  hardware: z
    .record(z.string(), z.json())
    .default({})
    .refine(
      (value) => JSON.stringify(value).length <= HARDWARE_BYTES_MAX,
      `at most ${HARDWARE_BYTES_MAX} bytes`,
    ),
})

export interface DeviceParts {
  readonly devices: Devices
  readonly enrolment: Enrolment
  readonly enrolLimit: RateLimit
  readonly liveness: Liveness
  readonly alerts: Alerts
  readonly fleet: FleetView
  /** Where devices find the broker. */
  readonly mqttUrl: () => string
  readonly readMetadata: (name: string) => Promise<Uint8Array | undefined>
  readonly addressOf: (request: Request) => string
}

export function deviceRoutes(parts: DeviceParts): Route[] {
  const { devices, enrolment } = parts
  const named = (c: Context) => c.req.param('device') ?? ''
  return [
    [
      'operator',
      'POST',
      '/v1/tokens',
      async (c) => {
        const { device, expires_seconds } = await readJson(c.req.raw, NewToken)
        const { expires, ...token } = enrolment.createToken({ device, seconds: expires_seconds })
        return c.json({ ...token, expires: timeOf(expires) }, 201)
      },
    ],
    ['anyone', 'POST', '/v1/enrol', (c) => enrol(c, parts)],
    ['viewer', 'GET', '/v1/devices', (c) => answerDevices(c, parts)],
    ['viewer', 'GET', '/v1/devices/:device', (c) => c.json(describeAll([devices.get(named(c))], parts)[0])],
    ['viewer', 'GET', '/v1/devices/:device/events', (c) => answerEvents(c, devices)],
  ]
}

async function enrol(c: Context, parts: DeviceParts): Promise<Response> {
  // Before the token is looked at: who guesses is slowed down, whatever the guess.
  parts.enrolLimit.take(parts.addressOf(c.req.raw))
  const { token, device, hardware, claim } = await readJson(c.req.raw, Enrol)
  // What a new device starts to trust. Looked at first: a token must not be used up for nothing.
  const root = present(await parts.readMetadata('root.json'), 'a registry has a root')
  const credential = parts.enrolment.exchange({ token, device, hardware, claim })
  return c.json(
    {
      ...credential,
      mqtt: { url: parts.mqttUrl(), username: credential.device },
      root: JSON.parse(Buffer.from(root).toString()) as unknown,
    },
    201,
  )
}

const DevicePage = z.strictObject({
  after: z.string().max(64).default(''),
  count: z.coerce.number().int().min(1).max(DEVICES_MAX).default(50),
  search: z.string().max(64).default(''),
  liveness: z.enum(LIVENESS).optional(),
})

/** All of them, or, where the question says anything, some: after that id, of that name, as alive as that. */
function answerDevices(c: Context, parts: DeviceParts): Response {
  const { devices, fleet } = parts
  if (Object.keys(c.req.query()).length === 0) return c.json({ devices: describeAll(devices.list(), parts) })
  const { ids, total, next } = fleet.page(check(DevicePage, c.req.query()))
  const shown = ids.map((id) => devices.get(id))
  return c.json({ devices: describeAll(shown, parts), total, next })
}

const Page = z.strictObject({
  /** The last ones, in place of the first ones. */
  newest: z.enum(['true', 'false']).default('false'),
  after: z.coerce.number().int().min(0).default(0),
  count: z.coerce.number().int().min(1).max(EVENTS_MAX).default(100),
})

function answerEvents(c: Context, devices: Devices): Response {
  const { newest, ...page } = check(Page, c.req.query())
  const events = devices.events(c.req.param('device') ?? '', { ...page, isNewest: newest === 'true' })
  return c.json({ events: events.map((event) => ({ ...event, received: timeOf(event.received) })) })
}

type Device = ReturnType<Devices['get']>

function describeAll(devices: readonly Device[], { liveness, alerts }: DeviceParts): object[] {
  const warned = alerts.devicesWarned()
  return devices.map(({ isOnline, enrolled, seen, ...device }) => {
    const isAlive = liveness.isAlive({ id: device.id, isOnline, seen })
    const heartbeat = liveness.last(device.id)
    return {
      ...device,
      online: isAlive,
      liveness: isAlive ? (warned.has(device.id) ? 'warning' : 'alive') : 'offline',
      enrolled: timeOf(enrolled),
      seen: seen === null ? null : timeOf(seen),
      last_heartbeat:
        heartbeat === undefined ? null : { ...heartbeat.body, received: timeOf(heartbeat.receivedMs) },
      clock_offset_ms: heartbeat?.clockOffsetMs ?? null,
    }
  })
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
