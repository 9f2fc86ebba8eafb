/** The OpenAPI document and the page made of it: complete, sound by its own rules, and proof against what models say. */
import { describe, expect, test } from 'bun:test'
import { type AppOptions, listRoutes } from '../../src/http/app.ts'
import { DOCS_HEADERS, renderDocs } from '../../src/http/docs-page.ts'
import { describeApi } from '../../src/http/openapi.ts'
import { exampleRequest, type ModelParts } from '../../src/http/openapi-model.ts'
import { Refusals } from '../../src/http/refusals.ts'
import { Lane } from '../../src/inference/lane.ts'
import { Lanes } from '../../src/inference/lanes.ts'
import type { Signature, TensorSpec } from '../../src/runtime/backend.ts'
import { stageApp } from '../kit/app-stage.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, scheduling, spec } from '../kit/fake-session.ts'

const EVIL = `</code><script>alert("1")</script>'$(reboot)'`

interface Described {
  parameters?: ({ $ref: string } | { name: string; in: string })[]
  responses: Record<string, { content?: unknown }>
  operationId: string
  security?: unknown
}

interface Document {
  openapi: string
  servers: { url: string }[]
  paths: Record<string, Record<string, Described>>
  components: Record<string, Record<string, { name: string; in: string; required: boolean }>>
}

function partsOf(signature: Partial<Signature>, more: Partial<ModelParts> = {}): ModelParts {
  const session = new FakeSession({ inputs: [], outputs: [], unsupportedOutputs: [], ...signature })
  Object.assign(session.metadata, { description: EVIL })
  const lane = new Lane({
    model: 'evil',
    version: '1',
    session,
    clock: new FakeClock(),
    scheduling: scheduling(),
    runsMax: 1,
    mayRunInline: true,
  })
  return { lane, versions: ['1'], batchSizeMax: 0, labels: () => undefined, ...more }
}

async function fetchDocument(options: Partial<AppOptions> = {}): Promise<Document> {
  const { ask } = await stageApp(options)
  return (await ask('GET', `${options.basePath ?? ''}/v2/openapi.json`)).body as Document
}

function routesOfApp() {
  const lanes = new Lanes({ backend: new FakeBackend(), clock: new FakeClock(), runsMax: 1 })
  const options = { engine: { lanes }, bodyBytesMax: 1, regions: undefined }
  return listRoutes(options as unknown as AppOptions, new Refusals()).map(
    ([, method, path]) => `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`,
  )
}

/** All values of a key, however deep. */
function valuesOf(key: string, within: unknown): unknown[] {
  if (typeof within !== 'object' || within === null) return []
  return Object.entries(within).flatMap(([name, value]) =>
    name === key ? [value, ...valuesOf(key, value)] : valuesOf(key, value),
  )
}

function resolve(document: unknown, ref: string): unknown {
  const steps = ref.replace(/^#\//, '').split('/')
  return steps.reduce((at, step) => (at as Record<string, unknown> | undefined)?.[step], document)
}

describe('the document', () => {
  test('every route of the app is in it, and nothing else but the models', async () => {
    const { paths } = await fetchDocument()
    const described = Object.entries(paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    )
    expect(described.sort()).toEqual([...routesOfApp(), 'post /v2/models/echo/infer'].sort())
  })

  test('every reference leads somewhere', async () => {
    const document = await fetchDocument()
    const refs = valuesOf('$ref', document) as string[]
    expect(refs.length).toBeGreaterThan(100)
    expect(refs.filter((ref) => resolve(document, ref) === undefined)).toEqual([])
  })

  test('no schema is there for nothing', async () => {
    const document = await fetchDocument()
    const refs = new Set(valuesOf('$ref', document))
    const unused = Object.keys(document.components['schemas'] ?? {})
      .filter((name) => !/_(data|element)$/.test(name))
      .filter((name) => !refs.has(`#/components/schemas/${name}`))
    expect(unused).toEqual([])
  })

  test('the parameters of a path are those that are declared', async () => {
    const document = await fetchDocument()
    for (const [path, item] of Object.entries(document.paths)) {
      const wanted = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '')
      for (const { parameters = [] } of Object.values(item)) {
        const declared = parameters.map((each) => ('$ref' in each ? resolve(document, each.$ref) : each))
        const inPath = (declared as { name: string; in: string; required: boolean }[]).filter(
          (parameter) => parameter.in === 'path',
        )
        expect(inPath.map(({ name }) => name)).toEqual(wanted)
        expect(inPath.every(({ required }) => required)).toBe(true)
      }
    }
  })

  test('operations have names of their own, and answers for good and for bad', async () => {
    const document = await fetchDocument()
    expect(document.openapi).toBe('3.1.0')
    const operations = Object.values(document.paths).flatMap((item) => Object.values(item))
    const names = operations.map(({ operationId }) => operationId)
    expect(new Set(names).size).toBe(names.length)
    for (const { responses } of operations) {
      expect(responses['200']).toBeDefined()
      expect(responses['default']).toEqual({ $ref: '#/components/responses/Error' } as object)
    }
    const keys = Object.values(document.components).flatMap(Object.keys)
    expect(keys.filter((key) => !/^[\w.-]+$/.test(key))).toEqual([])
  })

  test('it says where the server is, and which header a group asks for', async () => {
    const restrictions = [{ apis: ['inference'], header: 'X-Key', value: 'secret' }] as const
    const document = await fetchDocument({ basePath: '/edge', restrictions })
    expect(document.servers).toEqual([{ url: '/edge' }])
    const operation = document.paths['/v2/models/echo/infer']?.['post']
    expect(operation?.security).toEqual([{ 'restriction-0': [] }])
    expect(operation?.responses).toHaveProperty('403')
    const schemes: unknown = document.components['securitySchemes']
    expect(schemes).toEqual({ 'restriction-0': { type: 'apiKey', in: 'header', name: 'X-Key' } })
    expect(document.paths['/v2']?.['get']?.security).toBeUndefined()
    expect(JSON.stringify(document)).not.toContain('secret')
  })

  test('both are restricted with the metadata', async () => {
    const { send } = await stageApp({ restrictions: [{ apis: ['metadata'], header: 'X-Key', value: 'a' }] })
    for (const path of ['/v2/openapi.json', '/docs']) {
      expect((await send('GET', path)).status).toBe(403)
      expect((await send('GET', path, { headers: { 'X-Key': 'a' } })).status).toBe(200)
    }
  })
})

describe('a model', () => {
  const optional: TensorSpec = { ...spec('BIAS', 'FP32', [1]), isOptional: true }
  const signature = {
    inputs: [spec('A', 'INT64', [-1, 2]), spec('B', 'BYTES', []), optional],
    outputs: [spec('OUT', 'BOOL', [-1])],
  }

  const documentOf = (model: ModelParts) =>
    describeApi({
      serverName: 'limpet',
      serverVersion: '1',
      basePath: '',
      restrictions: [],
      routes: [],
      models: [model],
    })

  test('the request: what each input is, and which may be left out', () => {
    const model = partsOf(signature, { batchSizeMax: 4 })
    const { requestBody } = documentOf(model).paths['/v2/models/evil/infer']?.post ?? {}
    expect(requestBody?.content['application/json']?.schema).toMatchObject({
      required: ['inputs'],
      properties: {
        inputs: {
          minItems: 2,
          maxItems: 3,
          items: {
            oneOf: [
              {
                required: ['name', 'datatype', 'shape'],
                properties: {
                  name: { const: 'A' },
                  datatype: { const: 'INT64' },
                  shape: { minItems: 2, prefixItems: [{ minimum: 1, maximum: 4 }, { const: 2 }] },
                  data: { $ref: '#/components/schemas/INT64_data' },
                },
              },
              { properties: { shape: { maxItems: 0 }, data: { $ref: '#/components/schemas/BYTES_data' } } },
              { description: expect.stringContaining('Optional') },
            ],
          },
          allOf: [
            { contains: { properties: { name: { const: 'A' } } } },
            { contains: { properties: { name: { const: 'B' } } } },
          ],
        },
      },
    })
    expect(requestBody?.content['application/json']?.example).toEqual({
      inputs: [
        { name: 'A', datatype: 'INT64', shape: [1, 2], data: [0, 0] },
        { name: 'B', datatype: 'BYTES', shape: [], data: ['text'] },
      ],
    })
  })

  test('what has no form in JSON has no example, and is asked for as binary data', () => {
    expect(exampleRequest(partsOf({ inputs: [spec('A', 'INT4', [2])] }))).toBeUndefined()
    expect(exampleRequest(partsOf({ inputs: [spec('A', 'FP32', [1e6])] }))).toBeUndefined()
    expect(exampleRequest(partsOf({ outputs: [spec('OUT', 'INT4', [2])] }))).toEqual({
      parameters: { binary_data_output: true },
      inputs: [],
    })
  })

  test('what its file says stays text in the page', () => {
    const model = partsOf(
      { inputs: [spec(EVIL, 'FP32', [1])], outputs: [{ ...spec(EVIL, 'FP32', [-1]), symbols: [EVIL] }] },
      { versions: [EVIL], labels: () => [EVIL] },
    )
    const document = documentOf({ ...model, lane: Object.assign(model.lane, { model: EVIL }) })
    const page = renderDocs(document, { origin: 'http://box:8000', basePath: '' })
    expect(page).not.toContain('<script')
    expect(page).not.toContain('"1"')
    const tags = new Set([...page.matchAll(/<\/?([a-z0-9]+)/g)].map((match) => match[1]))
    expect(
      [...tags].filter((tag) => ['script', 'img', 'iframe', 'form', 'link'].includes(tag ?? '')),
    ).toEqual([])
    // Whole and as text wherever it is shown: name, version, description, two tensors, a shape, a label, the curl line.
    expect(page.split('&lt;/code&gt;&lt;script&gt;alert(').length - 1).toBe(8)
  })

  test('a quote in a name does not end the argument of the curl line', async () => {
    const model = partsOf({ inputs: [spec(EVIL, 'FP32', [1])] })
    const page = renderDocs(documentOf(model), { origin: 'http://box:8000', basePath: '/edge' })
    const line = /<pre[^>]*><code>(.*?)<\/code><\/pre>/.exec(page)?.[1] ?? ''
    const entities = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' }
    const shell = line.replaceAll(/&(#?\w+);/g, (_, name: keyof typeof entities) => entities[name])
    const printed = Bun.spawnSync(['sh', '-c', shell.replace(/^curl -s/, "printf '%s\\n'")])
    expect(printed.stdout.toString().trimEnd().split('\n')).toEqual([
      'http://box:8000/edge/v2/models/evil/infer',
      '-d',
      JSON.stringify(exampleRequest(model)),
    ])
  })
})

test('the page is text and style alone, and its policy says so', async () => {
  const { send } = await stageApp({ basePath: '/edge' })
  const response = await send('GET', '/edge/docs')
  const page = await response.text()
  expect(response.headers.get('Content-Type')).toBe('text/html; charset=utf-8')
  const policy = response.headers.get('Content-Security-Policy') ?? ''
  expect(policy).toBe(DOCS_HEADERS['Content-Security-Policy'])
  const style = /<style>([\s\S]*)<\/style>/.exec(page)?.[1] ?? ''
  const hash = new Bun.CryptoHasher('sha256').update(style).digest('base64')
  expect(policy).toStartWith(`default-src 'none'; style-src 'sha256-${hash}';`)
  expect(page).not.toMatch(/ style=| src=| on\w+=/)
  expect([...page.matchAll(/href="([^"]*)"/g)].map((match) => match[1])).toEqual([
    '#models',
    '#routes',
    '/edge/v2/openapi.json',
  ])
  expect(page).toContain('http://limpet/edge/v2/models/echo/infer')
})
