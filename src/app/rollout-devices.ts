import { z } from 'zod'
import { systemClock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { readSecretFile } from '../publisher/key-folder.ts'
import { RegistryClient } from '../publisher/registry-client.ts'
import type { OperatorOptions } from './operate.ts'

type Print = (line: string) => void

const Tagged = z.object({ tags: z.record(z.string(), z.string()) })

async function openRegistryClient({ registry, apiKeyFile }: OperatorOptions): Promise<RegistryClient> {
  return new RegistryClient({ url: registry, apiKey: await readSecretFile(apiKeyFile), clock: systemClock })
}

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
