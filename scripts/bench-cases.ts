/** The models and bodies that the benchmarks of the server send. */
import { encodeBinary, tensorOf, type V2Tensor } from '../test/kit/v2.ts'

export const BENCH_MODELS = ['simple', 'text-orientation', 'text-detector'] as const

export interface Body {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

const ROW = { shape: [1, 16], data: Int32Array.from({ length: 16 }, (_, index) => index) }

/** As numbers that a client makes of bytes: n / 255, of which most have 16 digits in JSON. */
function image(shape: number[]) {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).map((_, index) => (index % 256) / 255)
  return { shape, data }
}

export function inputsOf(model: string): V2Tensor[] {
  if (model === 'simple') return ['INPUT0', 'INPUT1'].map((name) => tensorOf(name, 'INT32', ROW))
  return [tensorOf('x', 'FP32', image(model === 'text-orientation' ? [1, 3, 48, 192] : [1, 3, 320, 320]))]
}

export function binaryBody(model: string): Body {
  const { body, headers } = encodeBinary(inputsOf(model))
  return { body: Buffer.from(body), headers }
}

export function jsonBody(model: string): Body {
  const inputs = inputsOf(model).map(({ name, datatype, shape, bytes }) => {
    const { buffer } = bytes.slice()
    return {
      name,
      datatype,
      shape,
      data: [...(datatype === 'INT32' ? new Int32Array(buffer) : new Float32Array(buffer))],
    }
  })
  return { body: Buffer.from(JSON.stringify({ inputs })), headers: {} }
}
