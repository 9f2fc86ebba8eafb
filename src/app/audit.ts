import { z } from 'zod'
import type { OperatorOptions } from './operate.ts'
import { openRegistryClient } from './registry-client.ts'

const Entry = z.looseObject({
  number: z.int(),
  time: z.string(),
  key: z.object({ id: z.string(), name: z.string(), role: z.string() }),
  method: z.string(),
  path: z.string(),
  subject: z.string(),
  detail: z.unknown(),
  address: z.string(),
  outcome: z.string(),
})
const Entries = z.object({ entries: z.array(Entry) })

export interface AuditOptions extends OperatorOptions {
  readonly subject: string | undefined
  readonly after: number | undefined
  readonly count: number
}

/** `limpet audit`: who has changed what, and how that ended. */
export async function runAudit(options: AuditOptions, print: (line: string) => void): Promise<void> {
  const { subject, after, count } = options
  const query = new URLSearchParams({
    count: String(count),
    ...(after !== undefined && { after: String(after) }),
    ...(subject !== undefined && { subject }),
  })
  const { entries } = await (await openRegistryClient(options)).ask(Entries, 'GET', `v1/audit?${query}`)
  if (options.json) return print(JSON.stringify(entries))
  for (const { number, time, key, method, path, subject: about, detail, address, outcome } of entries) {
    const what = detail === null ? '' : `  ${JSON.stringify(detail)}`
    const made = about === '' || path.includes(about) ? '' : ` → ${about}`
    print(
      `${number}  ${time}  ${key.name} (${key.role}, ${key.id}) from ${address}  ${method} ${path}${made}  ${outcome}${what}`,
    )
  }
}
