import type { Database } from '../kit/database.ts'

/** Where the models of a device are asked, as it says itself. */
export interface Endpoint {
  readonly device: string
  readonly url: URL
  /** What the device calls its hardware. */
  readonly hardware: readonly string[]
  /** What operators have written on it. */
  readonly tags: Readonly<Record<string, string>>
  readonly isOnline: boolean
  /** Milliseconds since 1970. */
  readonly seen: number
}

const URL_LENGTH_MAX = 512

/** Devices that say where their models can be asked. What they say is theirs: what is no address is left out. */
export class Endpoints {
  readonly #database: Database

  constructor({ database }: { database: Database }) {
    this.#database = database
  }

  list(): Endpoint[] {
    return this.#database
      .prepare<[], Row>(
        `SELECT id, online, tags, coalesce(seen, 0) AS seen, state ->> '$.advertise_url' AS url,
           state -> '$.hardware.names' AS names
         FROM device WHERE state ->> '$.advertise_url' IS NOT NULL ORDER BY id`,
      )
      .all()
      .flatMap((row) => {
        const url = readUrl(row.url)
        if (url === undefined) return []
        return {
          device: row.id,
          url,
          hardware: readNames(row.names),
          tags: JSON.parse(row.tags) as Endpoint['tags'],
          isOnline: row.online === 1,
          seen: row.seen,
        }
      })
  }
}

interface Row {
  readonly id: string
  readonly online: number
  readonly tags: string
  readonly seen: number
  readonly url: unknown
  readonly names: string | null
}

/** A path may stand behind the address; who asks may not. */
function readUrl(text: unknown): URL | undefined {
  if (typeof text !== 'string' || text.length > URL_LENGTH_MAX || !URL.canParse(text)) return undefined
  const url = new URL(text)
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  return isPlain && (url.protocol === 'http:' || url.protocol === 'https:') ? url : undefined
}

function readNames(json: string | null): string[] {
  const names: unknown = json === null ? [] : JSON.parse(json)
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string').slice(0, 16) : []
}
