import { decodeValues } from '../../src/client/datatypes.ts'
import { createTensor, type Tensor, type TensorSpec } from '../../src/client/tensor.ts'
import { decodeAnswer, encodeRequest, HEADER_LENGTH } from '../../src/client/wire.ts'

export interface Model {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly client?: unknown
  /** What the model computes: the values of each output. */
  readonly run: (
    inputs: ReadonlyMap<string, number[]>,
  ) => Readonly<Record<string, { shape: number[]; values: number[] }>>
}

const ROUTE = /^\/v2\/models\/(?<name>[^/]+)(\/versions\/1)?(?<infer>\/infer)?$/

/** A small server of the Open Inference Protocol. Remembers what it was asked, and over which connections. */
export class FakeServer {
  readonly requests: { path: string; body: Uint8Array; port: number }[] = []
  /** The inputs of each run, in the order in which they came. */
  readonly runs: Record<string, number[]>[] = []
  /** What is answered to a path instead of the truth. */
  readonly answers = new Map<string, () => Response | Promise<Response>>()
  readonly #models: Readonly<Record<string, Model>>
  readonly #server: ReturnType<typeof Bun.serve>

  constructor(models: Readonly<Record<string, Model>>) {
    this.#models = models
    this.#server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async (request, server) => {
        const path = new URL(request.url).pathname
        const body = new Uint8Array(await request.arrayBuffer())
        this.requests.push({ path, body, port: server.requestIP(request)?.port ?? 0 })
        const answer = this.answers.get(path)
        return answer === undefined ? this.#answer(path, body, request.headers) : answer()
      },
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`
  }

  forget(): void {
    this.requests.length = 0
    this.runs.length = 0
    this.answers.clear()
  }

  async stop(): Promise<void> {
    await this.#server.stop(true)
  }

  #answer(path: string, body: Uint8Array, headers: Headers): Response {
    const index = Object.keys(this.#models).map((known) => ({ name: known }))
    if (path === '/v2/repository/index') return Response.json(index)
    const { name = '', infer } = ROUTE.exec(path)?.groups ?? {}
    const model = this.#models[decodeURIComponent(name)]
    if (model === undefined) return Response.json({ error: `unknown model '${name}'` }, { status: 404 })
    if (infer !== undefined) return this.#infer(model, body, headers)
    const { inputs, outputs, client } = model
    return Response.json({ name, versions: ['1'], platform: 'onnx', inputs, outputs, properties: { client } })
  }

  #infer(model: Model, body: Uint8Array, headers: Headers): Response {
    const inputs = readInputs(body, headers.get(HEADER_LENGTH)).map(
      ({ name, datatype, bytes }) => [name, Array.from(decodeValues(datatype, bytes), Number)] as const,
    )
    this.runs.push(Object.fromEntries(inputs))
    const results = model.run(new Map(inputs))
    return writeOutputs(
      model.outputs.map((spec) => {
        const { shape = [], values = [] } = results[spec.name] ?? {}
        return createTensor(spec, shape, values)
      }),
    )
  }
}

/** Requests and answers differ in one word, so that the client's own coding does for a server. */
function readInputs(body: Uint8Array, headerLength: string | null): readonly Tensor[] {
  const headerBytes = headerLength === null ? body.length : Number(headerLength)
  const { inputs } = readHeader(body, headerBytes)
  const header = Buffer.from(JSON.stringify({ outputs: inputs }))
  return decodeAnswer(Buffer.concat([header, body.subarray(headerBytes)]), String(header.length)).outputs
}

function writeOutputs(outputs: readonly Tensor[]): Response {
  const { headerBytes, body } = encodeRequest(outputs)
  const { inputs } = readHeader(body, headerBytes)
  const header = Buffer.from(JSON.stringify({ model_version: '1', outputs: inputs }))
  return new Response(Buffer.concat([header, body.subarray(headerBytes)]), {
    headers: { [HEADER_LENGTH]: String(header.length) },
  })
}

function readHeader(body: Uint8Array, headerBytes: number): { inputs: unknown } {
  return JSON.parse(Buffer.from(body.subarray(0, headerBytes)).toString()) as { inputs: unknown }
}
