/** The least client of the Open Inference Protocol that a test needs; what real clients need is tested with them. */
export interface V2Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

export function tensorOf(
  name: string,
  datatype: string,
  of: { shape: readonly number[]; data: ArrayBufferView },
): V2Tensor {
  const { buffer, byteOffset, byteLength } = of.data
  return { name, datatype, shape: of.shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) }
}

/** A binary request, as one buffer with its header length. */
export function encodeBinary(
  inputs: readonly V2Tensor[],
  parameters: Readonly<Record<string, unknown>> = {},
): {
  body: Uint8Array<ArrayBuffer>
  headers: Record<string, string>
} {
  const json = Buffer.from(
    JSON.stringify({
      inputs: inputs.map(({ name, datatype, shape, bytes }) => ({
        name,
        datatype,
        shape,
        parameters: { binary_data_size: bytes.length },
      })),
      parameters: { binary_data_output: true, ...parameters },
    }),
  )
  const body = new Uint8Array(Buffer.concat([json, ...inputs.map(({ bytes }) => bytes)]))
  return { body, headers: { 'Inference-Header-Content-Length': String(json.length) } }
}

export async function inferBinary(
  url: string,
  model: string,
  inputs: readonly V2Tensor[],
  more?: Readonly<Record<string, unknown>>,
): Promise<Map<string, V2Tensor>> {
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: 'POST',
    ...encodeBinary(inputs, more),
  })
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (!response.ok) throw new Error(`${response.status}: ${Buffer.from(bytes).toString()}`)
  // Without it there is nothing binary: each output is empty.
  const headerLength = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  const answer = JSON.parse(Buffer.from(bytes.slice(0, headerLength)).toString()) as {
    outputs: { name: string; datatype: string; shape: number[]; parameters: { binary_data_size: number } }[]
  }
  const outputs = new Map<string, V2Tensor>()
  let at = headerLength
  for (const { name, datatype, shape, parameters } of answer.outputs) {
    const end = at + parameters.binary_data_size
    outputs.set(name, { name, datatype, shape, bytes: bytes.slice(at, end) })
    at = end
  }
  return outputs
}

/** What a JSON request is answered. */
export async function inferJson(
  url: string,
  model: string,
  body: string,
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}/v2/models/${model}/infer`, { method: 'POST', body })
  return { status: response.status, text: await response.text() }
}

export function floats(tensor: V2Tensor | undefined): Float32Array {
  return new Float32Array((tensor?.bytes ?? new Uint8Array(0)).slice().buffer)
}
