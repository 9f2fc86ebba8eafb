import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'

const ROLES = ['root', 'timestamp', 'snapshot', 'targets'] as const

export interface TrustFacts {
  readonly nowMs: number
  readonly folder: string
  /** Undefined: there is no such file; NaN: it does not say. */
  readonly expiresMs: Readonly<Record<string, number | undefined>>
}

/** What is signed and lies here, as it says it itself: nothing is verified again. */
export async function lookAtTrust({ enrolment, folders, clock }: Context): Promise<TrustFacts | undefined> {
  if (enrolment === undefined) return undefined
  const read = ROLES.map(
    async (role) => [role, await readExpiry(join(folders.trust, `${role}.json`))] as const,
  )
  return { nowMs: clock.now(), folder: folders.trust, expiresMs: Object.fromEntries(await Promise.all(read)) }
}

/** Undefined: there is no such file; NaN: it does not say. */
export async function readExpiry(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    return Date.parse((JSON.parse(text) as { signed: { expires: string } }).signed.expires)
  } catch {
    return Number.NaN
  }
}

const { ok, note, warning } = checksOf('trust')
const HOUR_MS = 3_600_000
const HOURS_SOON = 24

export function judgeTrust(facts: TrustFacts | undefined): Check[] {
  if (facts === undefined) return []
  const known = Object.entries(facts.expiresMs).flatMap(([role, ms]) =>
    ms === undefined ? [] : [{ role, ms }],
  )
  if (known.length === 0)
    return [note('none', 'no metadata yet: it comes with the first look at the registry')]
  const torn = known.filter(({ ms }) => !Number.isFinite(ms)).map(({ role }) => role)
  if (torn.length > 0)
    return [
      warning('torn', `${torn.join(', ')} in "${facts.folder}" cannot be read`, {
        fix: 'nothing: it is fetched again at the next look at the registry',
      }),
    ]
  const expired = known.filter(({ ms }) => ms <= facts.nowMs)
  const said = {
    expires: Object.fromEntries(known.map(({ role, ms }) => [role, new Date(ms).toISOString()])),
  }
  if (expired.length > 0) {
    const words = expired.map(({ role, ms }) => `${role} on ${new Date(ms).toISOString()}`).join(', ')
    const fix =
      'bring the device into touch with its registry, or give it a bundle of today; what serves goes on serving'
    return [
      warning('expired', `metadata has expired (${words}): nothing new is taken until newer comes`, {
        fix,
        facts: said,
      }),
    ]
  }
  const soonest = known.reduce((least, each) => (each.ms < least.ms ? each : least))
  const hours = (soonest.ms - facts.nowMs) / HOUR_MS
  const text = `metadata is good until ${new Date(soonest.ms).toISOString()} (${soonest.role}, ${hours < 48 ? `${Math.floor(hours)} hours` : `${Math.floor(hours / 24)} days`})`
  return [(hours < HOURS_SOON && soonest.role !== 'timestamp' ? note : ok)('expires', text, { facts: said })]
}
