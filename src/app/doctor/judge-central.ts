import type { CentralFacts } from './central.ts'
import { type Check, checksOf } from './check.ts'

const { ok, note, warning, fault } = checksOf('central')

export function judgeCentral(facts: CentralFacts | undefined): Check[] {
  if (facts === undefined) return []
  return [judgeHealth(facts), judgeDatabase(facts), ...judgeKeys(facts), ...judgeExpiries(facts)]
}

function judgeHealth({ folder, health }: CentralFacts): Check {
  const text = `a registry lives in "${folder}"`
  if (health?.is === 'good') return ok('runs', `${text}, and one answers at its usual address`)
  return note('silent', `${text}; none answers at the usual address, http://127.0.0.1:8100`, {
    fix: 'ask it where it is: "limpet health --registry --url URL"; systemctl status limpet-registry',
  })
}

function judgeDatabase({ databaseBytes, damage, isSearched }: CentralFacts): Check {
  const size = `its database has ${(databaseBytes / 1e6).toFixed(1)} MB`
  const facts = { bytes: databaseBytes }
  if (damage !== undefined) {
    const fix = 'stop it, and go back to a backup: "limpet registry restore FILE --replace"'
    return fault('database', `${size} and is damaged: ${damage}`, { fix, facts })
  }
  return ok(
    'database',
    isSearched ? `${size}, and is sound` : `${size}; it is written to, so it was not searched`,
    { facts },
  )
}

const OTHERS = 0o077

function judgeKeys({ keys, hasDevelopmentKeys, folder }: CentralFacts): Check[] {
  const open = keys.filter(({ mode }) => (mode & OTHERS) !== 0)
  return [
    ...(keys.length === 0
      ? [
          fault('keys', `there is no key in "${folder}/keys": it cannot sign`, {
            fix: 'bring back the keys, or make new ones: "limpet keys"',
          }),
        ]
      : []),
    ...open.map(({ path, mode }) =>
      fault('mode', `others may read the key "${path}" (mode ${mode.toString(8)}): it is not used`, {
        fix: `chmod 600 "${path}"`,
        facts: { path },
      }),
    ),
    ...(keys.length > 0 && open.length === 0
      ? [ok('keys', `${keys.length} keys that only their owner can read`)]
      : []),
    ...(hasDevelopmentKeys
      ? [
          warning('development', 'its keys were made for trying out, and lie on this machine unencrypted', {
            fix: 'never for a real fleet: "limpet keys init" makes keys for one',
          }),
        ]
      : []),
  ]
}

const DAY_MS = 86_400_000
const DAYS_WARNING = 30
/** The registry signs them itself, every few hours. */
const OWN_ROLES: ReadonlySet<string> = new Set(['timestamp', 'snapshot'])

function judgeExpiries({ expiresMs, nowMs }: CentralFacts): Check[] {
  return Object.entries(expiresMs).map(([role, ms]) => {
    if (!Number.isFinite(ms))
      return fault('metadata', `the metadata of ${role} cannot be read`, {
        fix: 'go back to a backup',
        facts: { role },
      })
    const days = (ms - nowMs) / DAY_MS
    const facts = { role, expires: new Date(ms).toISOString() }
    const isOwn = OWN_ROLES.has(role)
    if (days <= 0) {
      const fix = isOwn
        ? 'start the registry: it signs them anew'
        : `whoever holds the keys of ${role} has to sign it anew`
      return fault(
        'expired',
        `the metadata of ${role} has expired on ${facts.expires}: devices take nothing new`,
        { fix, facts },
      )
    }
    if (days <= DAYS_WARNING && !isOwn)
      return warning('expires', `the metadata of ${role} expires in ${Math.floor(days)} days`, {
        fix: `whoever holds its keys has to sign it anew before that`,
        facts,
      })
    return ok('metadata', `the metadata of ${role} is good for ${Math.floor(days)} days`, { facts })
  })
}
