import type { CertificateFacts } from './certificates.ts'
import { type Check, checksOf } from './check.ts'
import type { EndpointFacts } from './endpoint.ts'

const { ok, note, warning, fault } = checksOf('certificates')
const DAY_MS = 86_400_000
const [DAYS_WARNING, DAYS_FAULT] = [30, 0] as const

export function judgeCertificates(facts: CertificateFacts): Check[] {
  const checks = [
    ...facts.files.map((file) => judgeFile(file, facts.nowMs)),
    ...(facts.keyProblem === undefined
      ? []
      : [
          fault('key', `registry.key_file does not do: ${facts.keyProblem}`, {
            fix: 'put key and certificate there that belong together',
          }),
        ]),
    ...facts.secrets.flatMap(judgeSecret),
    ...facts.servers.flatMap((server) => judgeServer(server, facts.nowMs)),
  ]
  return checks.length === 0
    ? [note('none', 'none is used: the line to the registry is not encrypted, or there is no registry')]
    : checks
}

function judgeFile({ what, path, read }: CertificateFacts['files'][number], nowMs: number): Check {
  const title = `registry.${what}_file "${path}"`
  if ('problem' in read)
    return fault(what, `${title} cannot be used: ${read.problem}`, { fix: 'put a certificate there as PEM' })
  const days = (read.validToMs - nowMs) / DAY_MS
  const facts = {
    subject: read.subject,
    issuer: read.issuer,
    expires: new Date(read.validToMs).toISOString(),
    days_left: Math.floor(days),
  }
  if (nowMs < read.validFromMs)
    return warning(
      what,
      `${title} (${read.subject}) is not valid before ${new Date(read.validFromMs).toISOString()}`,
      { fix: 'is the clock right?', facts },
    )
  return byDays(what, { title: `${title} (${read.subject})`, days, facts })
}

function byDays(
  id: string,
  { title, days, facts }: { title: string; days: number; facts: Readonly<Record<string, unknown>> },
): Check {
  if (days <= DAYS_FAULT)
    return fault(id, `${title} has expired on ${String(facts['expires'])}`, { fix: 'renew it', facts })
  if (days <= DAYS_WARNING)
    return warning(id, `${title} expires in ${Math.floor(days)} days`, { fix: 'renew it', facts })
  return ok(id, `${title} is good for ${Math.floor(days)} days`, { facts })
}

const OTHERS = 0o077

function judgeSecret({ path, mode }: CertificateFacts['secrets'][number]): Check[] {
  if (mode === undefined || (mode & OTHERS) === 0) return []
  return [
    warning('mode', `"${path}" holds a secret, and its mode is ${mode.toString(8)}`, {
      fix: `chmod 600 "${path}"`,
      facts: { path, mode: mode.toString(8) },
    }),
  ]
}

function judgeServer({ name, host, handshake }: EndpointFacts, nowMs: number): Check[] {
  if (handshake === undefined || 'problem' in handshake) return []
  const { subject, issuer, validToMs, problem } = handshake.result
  const title = `that of the ${name} ${host} (${subject}, by ${issuer})`
  const facts = {
    name,
    host,
    subject,
    issuer,
    expires: Number.isFinite(validToMs) ? new Date(validToMs).toISOString() : null,
  }
  if (problem !== '')
    return [
      fault('server', `${title} is not believed: ${problem}`, {
        fix: 'name the authority that has signed it with registry.ca_file; look at the clock',
        facts,
      }),
    ]
  return Number.isFinite(validToMs)
    ? [byDays('server', { title, days: (validToMs - nowMs) / DAY_MS, facts })]
    : []
}
