import type { Context } from 'hono'
import { EdgeError } from '../kit/errors.ts'
import type { FamiliesSeen } from './families-seen.ts'
import type { LiveFeed } from './live.ts'
import type { Published, PublishedVersion } from './published.ts'
import { readBytes } from './request-body.ts'
import type { Route } from './route.ts'

const METADATA_BYTES_MAX = 2 * 1024 ** 2

export interface MetadataParts {
  readonly published: Published
  readonly readMetadata: (name: string) => Promise<Uint8Array | undefined>
  /** Told after each change, so that devices hear of it. */
  readonly onMetadata: () => void
  readonly live: LiveFeed
  readonly familiesSeen: FamiliesSeen
}

/** TUF: anybody may read what is signed; publishers bring what they have signed. */
export function metadataRoutes(parts: MetadataParts): Route[] {
  const { published, familiesSeen } = parts
  return [
    ['anyone', 'GET', '/tuf/:file', (c) => answerFile(c, parts)],
    ['publisher', 'POST', '/v1/metadata/:role', (c) => takeMetadata(c, parts)],
    [
      'publisher',
      'POST',
      '/v1/metadata/:role/missing',
      async (c) =>
        c.json({ missing: await published.missing(await readBytes(c.req.raw, METADATA_BYTES_MAX)) }),
    ],
    [
      'publisher',
      'GET',
      '/v1/metadata/:role/seen',
      async (c) => {
        const family = c.req.param('role') ?? ''
        return c.json({ version: familiesSeen.highest(family, await published.familyVersion(family)) })
      },
    ],
    ['viewer', 'GET', '/v1/models', async (c) => c.json({ models: groupByModel(await published.list()) })],
    [
      'viewer',
      'GET',
      '/v1/models/:family/:name',
      async (c) => {
        const name = `${c.req.param('family')}/${c.req.param('name')}`
        const model = groupByModel(await published.list()).find((one) => one.model === name)
        if (model === undefined)
          throw new EdgeError(
            'model_unknown',
            `Cannot find "${name}": no publisher has signed a version of it`,
          )
        return c.json(model)
      },
    ],
  ]
}

/** A timestamp is one of this registry's own, from before it was restored: it goes on above that. */
async function takeMetadata(c: Context, { published, onMetadata, live }: MetadataParts): Promise<Response> {
  const role = c.req.param('role') ?? ''
  const bytes = await readBytes(c.req.raw, METADATA_BYTES_MAX)
  if (role === 'timestamp') await published.resignAboveOwn(bytes)
  else await published.accept(role, bytes)
  onMetadata()
  live.publish({ kind: 'model', id: role })
  return c.json({ role }, 201)
}

async function answerFile(c: Context, { readMetadata }: MetadataParts): Promise<Response> {
  const name = c.req.param('file') ?? ''
  const bytes = await readMetadata(name)
  if (bytes === undefined)
    throw new EdgeError('not_found', `Cannot find "${name}": there is no such metadata`)
  // Files with a version in their name never change; the others are what a client asks for to see whether anything did.
  const isFixed = /^\d+\./.test(name)
  return c.body(Uint8Array.from(bytes), 200, {
    'Content-Type': 'application/json',
    'Cache-Control': isFixed ? 'public, max-age=86400, immutable' : 'no-cache',
  })
}

interface ListedModel {
  readonly model: string
  /** Releases below are not run by any device. */
  readonly floor: number
  readonly versions: { readonly version: string; readonly release: number; readonly manifest: string }[]
}

function groupByModel(versions: readonly PublishedVersion[]): ListedModel[] {
  const models = new Map<string, ListedModel>()
  for (const { model, version, release, sha256, floor } of versions) {
    const listed = models.get(model) ?? { model, floor, versions: [] }
    models.set(model, listed)
    listed.versions.push({ version, release, manifest: sha256 })
  }
  return [...models.values()]
}
