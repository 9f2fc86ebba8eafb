import { type Check, checksOf } from './check.ts'
import { judgeOffset } from './clock.ts'
import type { RegistryFacts, Unasked } from './registry.ts'

const { ok, note, warning, fault } = checksOf('registry')

function judgeUnasked({ unasked, problem }: Unasked): Check {
  if (unasked === 'offline') return note('offline', 'not asked: --offline')
  if (unasked === 'unreadable')
    return fault('enrolment', problem, {
      fix: 'look as the user that serves (sudo); a damaged one is made anew: "limpet enrol --again"',
    })
  return note('none', 'this device is not enrolled: it serves what lies in its models folder', {
    fix: 'limpet enrol --registry URL --token TOKEN',
  })
}

export function judgeRegistry(facts: RegistryFacts | Unasked): Check[] {
  if ('unasked' in facts) return [judgeUnasked(facts)]
  const { url, health, tookMs } = facts
  if ('problem' in health)
    return [warning('silent', `${url} does not answer: ${health.problem}`, { facts: { url } })]
  if (health.status !== 200) {
    const fix = 'is that the address of a Limpet registry, and what stands before it?'
    return [
      warning('health', `${url} answers ${health.status} when it is asked for its health`, {
        fix,
        facts: { url, status: health.status },
      }),
    ]
  }
  return [
    ok('health', `${url} is well, answered in ${Math.round(tookMs)} ms`, {
      facts: { url, took_ms: Math.round(tookMs) },
    }),
    ...judgeKnown(facts),
    ...judgeMetadata(facts),
    ...(facts.offsetSeconds === undefined ? [] : [judgeOffset(facts.offsetSeconds)]),
  ]
}

function judgeKnown({ known, device }: RegistryFacts): Check[] {
  if (known === undefined || 'problem' in known) return []
  if (known.status === 401 || known.status === 403) {
    const text = `it does not know "${device}" with this secret: it answers ${known.status}`
    return [
      fault('unknown', text, {
        fix: 'the device was revoked or enrolled anew: "limpet enrol --again --registry URL --token TOKEN"',
        facts: { status: known.status },
      }),
    ]
  }
  if (known.status === 404)
    return [note('unassigned', `it knows "${device}", and has assigned nothing to it`)]
  return [ok('known', `it knows "${device}"`)]
}

function judgeMetadata({ timestamp, nowMs }: RegistryFacts): Check[] {
  if (timestamp === undefined || 'problem' in timestamp) return []
  const signed = (timestamp.json as { signed?: { version?: unknown; expires?: unknown } } | undefined)?.signed
  const expiresMs = Date.parse(String(signed?.expires))
  if (timestamp.status !== 200 || !Number.isFinite(expiresMs)) {
    return [
      warning('metadata', `it has no metadata to give (${timestamp.status}): nothing new can be verified`, {
        fix: 'finish the ceremony of its keys: "limpet keys"',
      }),
    ]
  }
  const facts = { version: signed?.version, expires: new Date(expiresMs).toISOString() }
  if (expiresMs > nowMs)
    return [
      ok('metadata', `its metadata is version ${String(signed?.version)}, good until ${facts.expires}`, {
        facts,
      }),
    ]
  return [
    warning('metadata', `its metadata has expired on ${facts.expires}: no device takes it`, {
      fix: 'the registry signs it anew while it runs and has its keys: look at its log',
      facts,
    }),
  ]
}
