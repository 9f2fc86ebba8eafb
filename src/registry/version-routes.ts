import type { Context } from 'hono'
import { EdgeError } from '../kit/errors.ts'
import { type Manifest, parseManifest, type Variant } from '../trust/manifest.ts'
import type { FleetView } from './fleet-view.ts'
import type { Objects } from './objects.ts'
import type { Published } from './published.ts'
import type { Route } from './route.ts'

export interface VersionRouteParts {
  readonly published: Published
  readonly objects: Objects
  readonly fleet: FleetView
}

/** What one version is made of, who may have signed it, and how it does where. */
export function versionRoutes(parts: VersionRouteParts): Route[] {
  return [['viewer', 'GET', '/v1/models/:family/:name/:version', (c) => answerVersion(c, parts)]]
}

async function answerVersion(
  c: Context,
  { published, objects, fleet }: VersionRouteParts,
): Promise<Response> {
  const family = c.req.param('family') ?? ''
  const model = `${family}/${c.req.param('name')}`
  const version = c.req.param('version') ?? ''
  const listed = (await published.list()).find((one) => one.model === model && one.version === version)
  if (listed === undefined) {
    throw new EdgeError('model_unknown', `Cannot find ${model} ${version}: no publisher has signed it`)
  }
  const manifest = parseManifest(await objects.blobs.read(listed.sha256))
  return c.json({
    model,
    version,
    release: listed.release,
    manifest: listed.sha256,
    publishers: await published.publishersOf(family),
    ...contentOf(manifest),
    results: fleet.results({ model, version, manifest: listed.sha256 }),
  })
}

function contentOf({ variants, signature, golden }: Manifest): object {
  return { has_golden: golden !== undefined, variants: variants.map(describe), signature }
}

function describe({ name, hardware, providers, files }: Variant): object {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  return { name, hardware, providers, bytes, files: files.length }
}
