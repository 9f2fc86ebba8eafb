/** A registry in a folder of its own, asked without a socket. Its clock stands until it is turned. */

import { join } from 'node:path'
import type { Hono } from 'hono'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { Histogram } from '../../src/kit/histogram.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { initKeys } from '../../src/publisher/ceremony.ts'
import type { Role } from '../../src/registry/api-keys.ts'
import { createApp, type RegistryParts } from '../../src/registry/app.ts'
import type { Issued } from '../../src/registry/assignments.ts'
import { RateLimit } from '../../src/registry/rate-limit.ts'
import { openRegistry, type Registry } from '../../src/registry/registry.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'

export interface RegistryStage {
  readonly folder: string
  /** Where the keys of publishers lie. */
  readonly fleet: string
  /** What devices would have been told. */
  readonly issued: Issued[]
  readonly clock: FakeClock
  readonly database: Database
  readonly registry: Registry
  readonly app: Hono
  readonly parts: RegistryParts
  /** A header for a new key of that role. */
  as(role: Role): Record<string, string>
  /** A header for a newly enrolled device. */
  asDevice(id: string): Record<string, string>
  remove(): Promise<void>
}

export async function stageRegistry(): Promise<RegistryStage> {
  const { path, remove } = await createFolder()
  const clock = new FakeClock()
  clock.advance(1_800_000_000_000)
  const fleet = join(path, 'fleet')
  await initKeys({
    out: fleet,
    families: ['vision', 'audio'],
    rootKeys: 3,
    rootThreshold: 2,
    passphrase: undefined,
    nowMs: clock.now(),
    print: () => undefined,
  })
  const folder = join(fleet, 'registry')
  const database = openDatabase(join(folder, 'registry.sqlite'))
  const sources = { folder, database, clock, random: systemRandom }
  const registry = await openRegistry(sources)
  await registry.director.readKey()
  const issued: Issued[] = []
  const parts: RegistryParts = {
    ...registry,
    clock,
    enrolLimit: new RateLimit({ clock, burst: 5, intervalMs: 60_000 }),
    loginLimit: new RateLimit({ clock, burst: 5, intervalMs: 60_000 }),
    sessionSeconds: 3600,
    mqttUrl: () => 'mqtt://registry.example:1883',
    machine: () => ({ cpuSeconds: 1.5, residentBytes: 1000, loopDelay: new Histogram([1]).snapshot }),
    readMetadata: (name) => registry.repository.read(name),
    onMetadata: () => undefined,
    onCommand: () => undefined,
    onIssued: (all) => void issued.push(...all),
    addressOf: (request) => request.headers.get('x-test-address') ?? '192.0.2.1',
  }
  return {
    folder,
    fleet,
    issued,
    clock,
    database,
    registry,
    parts,
    app: createApp(parts),
    as: (role) => ({ authorization: `Bearer ${registry.keys.create({ name: role, role }).text}` }),
    asDevice: (id) => {
      const secret = registry.devices.enrol(id, {})
      return { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` }
    },
    remove: async () => {
      database.close()
      await remove()
    },
  }
}

export function jsonRequest(
  method: string,
  body: unknown,
  headers: Record<string, string> = {},
): RequestInit {
  return { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } }
}

export async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>
}
