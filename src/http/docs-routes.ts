import type { Engine } from '../inference/engine.ts'
import type { Labels } from './classification.ts'
import { DOCS_HEADERS, renderDocs } from './docs-page.ts'
import type { ConfiguredModel } from './model-config.ts'
import { type ApiDocument, describeApi } from './openapi.ts'
import type { ModelParts } from './openapi-model.ts'
import type { Restriction } from './restrictions.ts'
import type { Route } from './route.ts'

interface DocsOptions {
  readonly engine: Engine
  readonly serverName: string
  readonly serverVersion: string
  readonly basePath: string
  readonly restrictions: readonly Restriction[]
  readonly configured: (model: string) => ConfiguredModel | undefined
  readonly labels: (model: string, output: string) => Labels
}

/** The API described, for programs and for people. `routes` are all there are, these two among them. */
export function docsRoutes(options: DocsOptions, routes: () => readonly Route[]): Route[] {
  const describe = (): ApiDocument =>
    describeApi({
      ...options,
      routes: routes().map(([group, method, path]) => ({ group, method, path })),
      models: readyModels(options),
    })
  return [
    ['metadata', 'GET', '/v2/openapi.json', (c) => c.json(describe())],
    [
      'metadata',
      'GET',
      '/docs',
      (c) => {
        const { origin } = new URL(c.req.url)
        const page = renderDocs(describe(), { origin, basePath: options.basePath })
        return new Response(page, { headers: DOCS_HEADERS })
      },
    ],
  ]
}

function readyModels({ engine: { lanes }, configured, labels }: DocsOptions): ModelParts[] {
  const names = new Set(lanes.ready().map(({ model }) => model))
  return [...names].map((model) => ({
    lane: lanes.find(model, undefined),
    versions: lanes.versions(model),
    batchSizeMax: configured(model)?.max_batch_size ?? 0,
    labels: (output) => labels(model, output),
  }))
}
