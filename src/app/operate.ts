import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import { openRegistryClient, type RegistryPlace } from './registry-client.ts'

type Print = (line: string) => void

export interface OperatorOptions extends RegistryPlace {
  readonly json: boolean
}

const Token = z.looseObject({ token: z.string(), expires: z.string() })
const Issued = z.union([
  z.object({ rev: z.int() }).transform(({ rev }) => ({ revs: undefined, rev })),
  z.object({ revs: z.record(z.string(), z.int()) }).transform(({ revs }) => ({ revs, rev: undefined })),
])
const AssignedModel = z.looseObject({ model: z.string(), version: z.string() })
const Assignments = z.object({
  assignments: z.array(z.object({ target: z.string(), models: z.array(AssignedModel) })),
})
const Device = z.looseObject({
  id: z.string(),
  online: z.boolean(),
  seen: z.string().nullable(),
  liveness: z.string(),
  last_heartbeat: z
    .looseObject({ received: z.string(), values: z.record(z.string(), z.number()).optional() })
    .nullable(),
  state: z.unknown(),
})
const Alerts = z.object({
  alerts: z.array(
    z.looseObject({
      severity: z.string(),
      message: z.string(),
      since: z.string(),
      cleared: z.string().nullable(),
    }),
  ),
})
const Devices = z.object({ devices: z.array(Device) })
const Event = z.looseObject({ received: z.string(), body: z.looseObject({}) })
const Events = z.object({ events: z.array(Event) })

/** What a device's state says of its models, as far as a line of it tells. */
const Running = z.object({
  models: z.array(
    z.looseObject({
      model: z.string(),
      running: z.looseObject({ version: z.string() }).nullish(),
      update: z.looseObject({ state: z.string() }).nullish(),
    }),
  ),
})

/** `limpet token`: worth the enrolment of one device, once. */
export async function runToken(
  options: OperatorOptions & { readonly device: string | undefined; readonly hours: number },
  print: Print,
): Promise<void> {
  const registry = await openRegistryClient(options)
  const wanted = { device: options.device, expires_seconds: options.hours * 3600 }
  const answer = await registry.ask(Token, 'POST', 'v1/tokens', wanted)
  if (options.json) return print(JSON.stringify(answer))
  print(answer.token)
  print(`For one device, once, until ${answer.expires}. On the device:`)
  print(`  limpet enrol --registry ${options.registry} --token ${answer.token}`)
}

export interface AssignOptions extends OperatorOptions {
  readonly only: boolean
  readonly allowDowngrade: boolean
  readonly observeSeconds: number | undefined
}

/** `limpet assign`: what a device, or all, should run. Models that are not named stay as they are. */
export async function runAssign(
  target: string,
  named: readonly string[],
  options: AssignOptions,
  print: Print,
): Promise<void> {
  const wanted = named.map((text) => parseModel(text, options))
  const registry = await openRegistryClient(options)
  const { assignments } = await registry.ask(Assignments, 'GET', 'v1/assignments')
  const before = assignments.find((one) => one.target === target)?.models ?? []
  const kept = options.only
    ? []
    : before.filter(({ model }) => wanted.every((one) => one.model !== model)).map(toWanted)
  const path = `v1/assignments/${encodeURIComponent(target)}`
  const { rev, revs } = await registry.ask(Issued, 'PUT', path, { models: [...kept, ...wanted] })
  if (options.json) return print(JSON.stringify(revs ?? { [target]: rev }))
  const devices = revs === undefined ? `"${target}", rev ${rev}` : `${Object.keys(revs).length} devices`
  print(`Assigned to ${devices}:`)
  for (const { model, version } of [...kept, ...wanted]) print(`  ${model}  ${version}`)
}

/** "vision/yolo@3.2.0" */
function parseModel(text: string, { allowDowngrade, observeSeconds }: AssignOptions) {
  const at = text.lastIndexOf('@')
  const [model, version] = [text.slice(0, at), text.slice(at + 1)]
  if (at < 1 || version === '') {
    throw new EdgeError('input_invalid', `Cannot assign "${text}": expected FAMILY/NAME@VERSION`)
  }
  return {
    model,
    version,
    ...(observeSeconds !== undefined && { policy: { observe_seconds: observeSeconds } }),
    ...(allowDowngrade && { allow_downgrade: true }),
  }
}

/** As it was asked for: what the registry has looked up for it is looked up again. */
function toWanted({ model, version, ...rest }: z.infer<typeof AssignedModel>) {
  const asked = ['policy', 'schedule', 'priority', 'allow_downgrade'].filter(
    (name) => rest[name] !== undefined,
  )
  return { model, version, ...Object.fromEntries(asked.map((name) => [name, rest[name]])) }
}

/** `limpet device list` */
export async function runDeviceList(options: OperatorOptions, print: Print): Promise<void> {
  const { devices } = await (await openRegistryClient(options)).ask(Devices, 'GET', 'v1/devices')
  if (options.json) return print(JSON.stringify(devices))
  for (const { id, online, seen, state } of devices) {
    const models = Running.safeParse(state).data?.models ?? []
    const words = models.map(({ model, running, update }) => {
      const moving = update == null ? '' : ` (${update.state})`
      return `${model} ${running?.version ?? '-'}${moving}`
    })
    const presence = online ? 'online' : `offline, seen ${seen ?? 'never'}`
    print(`${id}  ${presence}${words.length === 0 ? '' : `  ${words.join(', ')}`}`)
  }
}

/** `limpet device show`: its last report, and what it has told since. */
export async function runDeviceShow(device: string, options: OperatorOptions, print: Print): Promise<void> {
  const registry = await openRegistryClient(options)
  const path = `v1/devices/${encodeURIComponent(device)}`
  const [described, { events }, { alerts }] = await Promise.all([
    registry.ask(Device, 'GET', path),
    registry.ask(Events, 'GET', `${path}/events?count=1000`),
    registry.ask(Alerts, 'GET', `${path}/alerts`),
  ])
  if (options.json) return print(JSON.stringify({ ...described, alerts, events }))
  print(`${described.id}: ${described.liveness}, seen ${described.seen ?? 'never'}`)
  for (const line of describeHealth(described.last_heartbeat ?? undefined)) print(line)
  for (const { severity, message, since, cleared } of alerts)
    print(`${severity}: ${message}, since ${since}${cleared === null ? '' : `, cleared ${cleared}`}`)
  print(JSON.stringify(described.state, undefined, 2))
  for (const { received, body } of events) print(`${received}  ${JSON.stringify(body)}`)
}

/** What it said of itself last, as far as that is numbers. */
function describeHealth(heartbeat: z.infer<typeof Device>['last_heartbeat'] | undefined): string[] {
  const values = Object.entries(heartbeat?.values ?? {})
  if (heartbeat == null || values.length === 0) return []
  return [`at ${heartbeat.received}: ${values.map(([name, value]) => `${name} ${value}`).join(', ')}`]
}
