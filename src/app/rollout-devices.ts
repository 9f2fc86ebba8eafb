import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import type { OperatorOptions } from './operate.ts'
import { openRegistryClient } from './registry-client.ts'

type Print = (line: string) => void

const Tagged = z.object({ tags: z.record(z.string(), z.string()) })

/** `limpet device tag`: NAME=VALUE sets one, NAME= takes it away; the others stay. Without any it tells them. */
export async function runDeviceTag(
  device: string,
  changes: readonly string[],
  options: OperatorOptions,
  print: Print,
): Promise<void> {
  const parsed = changes.map(parseChange)
  const registry = await openRegistryClient(options)
  const path = `v1/devices/${encodeURIComponent(device)}`
  let { tags } = await registry.ask(Tagged, 'GET', path)
  if (parsed.length > 0) {
    const wanted = Object.entries({ ...tags, ...Object.fromEntries(parsed) }).filter(
      ([, value]) => value !== '',
    )
    tags = (await registry.ask(Tagged, 'PUT', `${path}/tags`, { tags: Object.fromEntries(wanted) })).tags
  }
  if (options.json) return print(JSON.stringify(tags))
  for (const [name, value] of Object.entries(tags)) print(`${name}=${value}`)
}

function parseChange(text: string): [name: string, value: string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new EdgeError(
    'input_invalid',
    `Cannot tag by "${text}": expected NAME=VALUE, or NAME= to take it away`,
  )
}

const Explained = z.object({
  device: z.string(),
  models: z.array(
    z.object({
      model: z.string(),
      runs: z.object({ version: z.string(), manifest: z.string() }).nullable(),
      because: z.string(),
      passed_over: z.array(z.object({ version: z.string(), because: z.string() })),
    }),
  ),
})

/** `limpet device explain`: what it should run, and because of which word. */
export async function runDeviceExplain(
  device: string,
  options: OperatorOptions,
  print: Print,
): Promise<void> {
  const registry = await openRegistryClient(options)
  const answer = await registry.ask(Explained, 'GET', `v1/devices/${encodeURIComponent(device)}/explain`)
  if (options.json) return print(JSON.stringify(answer.models))
  if (answer.models.length === 0) print(`Nothing is assigned to "${device}"`)
  for (const { model, runs, because, passed_over } of answer.models) {
    print(`${model}: ${runs?.version ?? 'nothing'}, because ${because}`)
    for (const passed of passed_over) print(`  not ${passed.version}: ${passed.because}`)
  }
}
