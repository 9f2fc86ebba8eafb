import { createHash } from 'node:crypto'
import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import type { AssignedModels } from './assignments.ts'
import { DEVICE_ID } from './device-id.ts'
import { SELECTOR_CHARACTERS_MAX } from './selector.ts'

/** What is asked for when a version is to be brought to many devices, and which device comes when. Pure. */

const DAY_SECONDS = 86_400
const WAVES_MAX = 50
const NAMED_MAX = 10_000
const BUCKETS = 10_000

const Wave = z
  .strictObject({
    /** Of all devices, this wave and those before it together. */
    percent: z.number().gt(0).max(100).optional(),
    count: z.int().min(1).max(1_000_000).optional(),
    devices: z.array(z.string().regex(DEVICE_ID)).min(1).max(NAMED_MAX).optional(),
    /** How long nothing may go wrong once enough have succeeded. */
    soak_seconds: z
      .int()
      .min(0)
      .max(30 * DAY_SECONDS)
      .default(600),
    /** Of those that have taken the assignment. */
    success_percent_min: z.number().min(0).max(100).default(95),
  })
  .refine(
    ({ percent, count, devices }) =>
      [percent, count, devices].filter((one) => one !== undefined).length === 1,
    {
      error: 'expected one of percent, count and devices',
    },
  )
export type Wave = z.infer<typeof Wave>

const WAVES = [{ percent: 1 }, { percent: 10 }, { percent: 50 }, { percent: 100 }]

const Waves = z
  .array(Wave)
  .min(1)
  .max(WAVES_MAX)
  .prefault(WAVES)
  .refine((waves) => waves.at(-1)?.percent === 100, {
    error:
      'the last wave is the one for all that are left, and for those that join later: expected percent 100',
  })
  .refine((waves) => isAscending(waves.flatMap(({ percent }) => percent ?? [])), {
    error:
      'each percent is of all devices, the waves before included: expected each higher than the one before',
  })

function isAscending(numbers: readonly number[]): boolean {
  return numbers.every((number, at) => at === 0 || number > (numbers[at - 1] ?? 0))
}

const Schedule = z.strictObject({
  not_before: z.iso.datetime().optional(),
  /** A cron expression in UTC: when a window opens, for giving the version to devices and for their switch to it. */
  window: z.string().min(1).max(128).optional(),
  window_seconds: z
    .int()
    .min(1)
    .max(7 * DAY_SECONDS)
    .optional(),
  /** How long a device may wait for its switch. */
  defer_seconds_max: z
    .int()
    .min(0)
    .max(365 * DAY_SECONDS)
    .optional(),
})

export const RolloutRequest = z.strictObject({
  model: z.string().min(1).max(256),
  version: z.string().min(1).max(128),
  /** What a revert goes back to; without it each device to what it would run otherwise. */
  previous: z.string().min(1).max(128).optional(),
  selector: z.string().max(SELECTOR_CHARACTERS_MAX).default('all'),
  waves: Waves,
  abort: z
    .strictObject({
      /** The failure rate has to be above this for certain (Wilson's lower bound), of at least so many failures. */
      failure_percent_max: z.number().min(0).max(100).default(10),
      failures_min: z.int().min(1).max(1_000_000).default(3),
      on_abort: z.enum(['stop', 'revert']).default('stop'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      starts_per_minute_max: z.int().min(1).max(1_000_000).default(600),
      downloads_max: z.int().min(1).max(1_000_000).default(100),
      /** Away for longer, a device is no longer waited for. */
      offline_seconds: z.int().min(1).max(DAY_SECONDS).default(600),
      /** Without a step further, a device has failed. */
      device_seconds_max: z
        .int()
        .min(1)
        .max(30 * DAY_SECONDS)
        .default(4 * 3600),
      /** Gone dark within so long after its switch, and for so long, a device counts as lost. */
      vanish_seconds: z.int().min(1).max(DAY_SECONDS).default(600),
    })
    .prefault({}),
  schedule: Schedule.optional(),
  /** What a device asks of the version on trial, as in an assignment. */
  policy: z.record(z.string(), z.json()).optional(),
  priority: z.int().min(0).max(100).optional(),
  allow_downgrade: z.boolean().default(false),
  /** Whether somebody else than who made it has to approve it. */
  approval: z.enum(['none', 'second_person']).default('none'),
})
export type RolloutRequest = z.infer<typeof RolloutRequest>

type Entry = AssignedModels[number]

/** As it is kept: nothing of it changes any more. */
export interface RolloutPlan extends RolloutRequest {
  /** What a device is given; its wave comes with the device. */
  readonly entry: Entry
  /** What a revert gives, where one version was named for all. */
  readonly back: Entry | null
}

export interface Candidate {
  readonly id: string
  readonly hardware: string
  readonly isOnline: boolean
}

export interface Placed {
  readonly device: string
  readonly wave: number
  readonly bucket: number
}

/** A device's place in a rollout is the rollout's and its own affair, whoever else is there. */
export function bucketOf(rollout: string, device: string): number {
  const digest = createHash('sha256').update(`${rollout}|${device}`).digest()
  return digest.readUInt32BE(0) % BUCKETS
}

/**
 * Which device comes in which wave: named ones where they are named, the others in the order of their buckets. In the
 * first wave is at least one of each class of hardware, one that is there if there is one.
 */
export function placeDevices(
  rollout: string,
  waves: readonly Wave[],
  devices: readonly Candidate[],
): Placed[] {
  const named = namedWaves(waves, new Set(devices.map(({ id }) => id)))
  const ranked = devices
    .map((device) => ({ ...device, bucket: bucketOf(rollout, device.id) }))
    .toSorted((a, b) => a.bucket - b.bucket || (a.id < b.id ? -1 : 1))
  let pool = ranked.filter(({ id }) => !named.has(id))
  const placed: Placed[] = []
  const put = (wave: number, chosen: readonly { id: string; bucket: number }[]) => {
    for (const { id, bucket } of chosen) placed.push({ device: id, wave, bucket })
    const ids = new Set(chosen.map(({ id }) => id))
    pool = pool.filter(({ id }) => !ids.has(id))
  }
  for (const [at, wave] of waves.entries()) {
    put(
      at,
      ranked.filter(({ id }) => named.get(id) === at),
    )
    if (wave.devices !== undefined) continue
    const count = wave.count ?? Math.ceil(((wave.percent ?? 100) / 100) * devices.length) - placed.length
    put(at, pool.slice(0, Math.max(0, count)))
    if (at === 0) put(at, missingClasses(placed, ranked, pool))
  }
  return placed
}

function namedWaves(waves: readonly Wave[], known: ReadonlySet<string>): Map<string, number> {
  const named = new Map<string, number>()
  for (const [at, { devices }] of waves.entries()) {
    for (const device of devices ?? []) {
      if (!known.has(device))
        throw refuse(`wave ${at} names "${device}", which the selector does not select, or which is left out`)
      if (named.has(device)) throw refuse(`"${device}" is named twice`)
      named.set(device, at)
    }
  }
  return named
}

function missingClasses<T extends Candidate>(
  placed: readonly Placed[],
  all: readonly T[],
  pool: readonly T[],
): T[] {
  const ids = new Set(placed.map(({ device }) => device))
  const there = new Set(all.filter(({ id }) => ids.has(id)).map(({ hardware }) => hardware))
  const chosen = new Map<string, T>()
  for (const device of [...pool.filter(({ isOnline }) => isOnline), ...pool]) {
    if (!there.has(device.hardware) && !chosen.has(device.hardware)) chosen.set(device.hardware, device)
  }
  return [...chosen.values()]
}

function refuse(why: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot plan the rollout: ${why}`)
}
