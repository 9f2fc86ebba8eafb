/** What becomes of a model in its life, for `bench-ota.ts`: each takes an ONNX file and gives the file of its next version. */
import { onnx } from 'onnx-proto'
import { randomWeights } from '../test/kit/random-bytes.ts'

const FLOAT = onnx.TensorProto.DataType.FLOAT
/** Smaller ones are the scales and shapes that the graph is made with, and not learned. */
const WEIGHTS_MIN = 16
/** Operators whose second input is what was learned. */
const LEARNING = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'LSTM'])

/** Exported anew by another tool, under another name, with one node more: not one weight is another. */
export function changeGraph(file: Uint8Array): Uint8Array {
  const model = onnx.ModelProto.decode(file)
  model.producerName = 'another exporter'
  model.producerVersion = '2.0'
  model.docString = 'The same weights'
  model.metadataProps.push(onnx.StringStringEntryProto.create({ key: 'revision', value: '2026-11-25' }))
  const { graph } = model
  const output = graph?.output?.[0]
  const last = graph?.node?.find((node) => node.output?.includes(output?.name ?? ''))
  if (graph?.node && last?.output && output?.name) {
    const inner = `${output.name}_inner`
    last.output = last.output.map((name) => (name === output.name ? inner : name))
    graph.node.push(onnx.NodeProto.create({ opType: 'Identity', input: [inner], output: [output.name] }))
  }
  return encode(model)
}

/** The weights nearest to the output, learned anew. */
export function changeHead(file: Uint8Array, seed: number): { file: Uint8Array; headBytes: number } {
  const model = onnx.ModelProto.decode(file)
  const weights = tensorsByName(model.graph)
  const heads = (model.graph?.node ?? [])
    .filter((node) => LEARNING.has(node.opType ?? ''))
    .map((node) => node.input?.map((name) => weights.get(name)).find((tensor) => tensor !== undefined))
    .filter((tensor) => tensor !== undefined)
  const head = heads.at(-1) ?? largestOf(weights)
  const values = valuesOf(head)
  setValues(head, randomWeights(values.length, seed))
  return { file: encode(model), headBytes: values.length * 4 }
}

/** The same model as `onnx-proto` writes it: what differs from it then differs by the change, not by who wrote it. */
export function reencode(file: Uint8Array): Uint8Array {
  return encode(onnx.ModelProto.decode(file))
}

/** Every weight moved a little: by `share` of what its tensor varies. */
export function fineTune(file: Uint8Array, share: number, seed: number): Uint8Array {
  const model = onnx.ModelProto.decode(file)
  for (const [index, tensor] of [...tensorsByName(model.graph).values()].entries()) {
    const values = valuesOf(tensor)
    const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
    const spread = Math.sqrt(
      values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length),
    )
    // The weights of `randomWeights` vary by 0.029.
    const steps = randomWeights(values.length, seed + index)
    setValues(
      tensor,
      values.map((value, at) => value + ((steps[at] ?? 0) / 0.029) * spread * share),
    )
  }
  return encode(model)
}

/** A backbone of equal layers and a head of about 7 %, with weights as training leaves them. */
export function largeModel(layers: number, width: number): Uint8Array {
  const names = Array.from({ length: layers + 1 }, (_, layer) => `layer_${layer}`)
  const headWidth = Math.round((layers * width * 0.07) / 0.93)
  const initializer = names.map((name, layer) => {
    const columns = layer === layers ? headWidth : width
    const weights = randomWeights(width * columns, layer + 1)
    return { name, dataType: FLOAT, dims: [width, columns], rawData: new Uint8Array(weights.buffer) }
  })
  const node = names.map((name, layer) => ({
    opType: 'MatMul',
    input: [layer === 0 ? 'input' : `hidden_${layer - 1}`, name],
    output: [layer === layers ? 'output' : `hidden_${layer}`],
  }))
  const value = (name: string, size: number) => ({
    name,
    type: { tensorType: { elemType: FLOAT, shape: { dim: [{ dimParam: 'batch' }, { dimValue: size }] } } },
  })
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'large',
      node,
      initializer,
      input: [value('input', width)],
      output: [value('output', headWidth)],
    },
  })
  return encode(model)
}

function encode(model: onnx.ModelProto): Uint8Array {
  return onnx.ModelProto.encode(model).finish()
}

/** All float tensors of a graph and of the graphs within it: initializers, and constants by what they are called. */
function tensorsByName(graph: onnx.IGraphProto | null | undefined): Map<string, onnx.ITensorProto> {
  const found = new Map<string, onnx.ITensorProto>()
  const keep = (name: string | null | undefined, tensor: onnx.ITensorProto | null | undefined) => {
    if (tensor?.dataType === FLOAT && valuesOf(tensor).length >= WEIGHTS_MIN) found.set(name ?? '', tensor)
  }
  for (const tensor of graph?.initializer ?? []) keep(tensor.name, tensor)
  for (const node of graph?.node ?? []) {
    for (const attribute of node.attribute ?? []) {
      keep(node.output?.[0], attribute.t)
      for (const [name, tensor] of tensorsByName(attribute.g)) found.set(name, tensor)
    }
  }
  return found
}

function largestOf(tensors: ReadonlyMap<string, onnx.ITensorProto>): onnx.ITensorProto {
  const sorted = [...tensors.values()].sort((one, other) => valuesOf(other).length - valuesOf(one).length)
  if (sorted[0] === undefined) throw new Error('The model has no float tensor')
  return sorted[0]
}

function valuesOf({ rawData, floatData }: onnx.ITensorProto): Float32Array {
  return rawData?.length
    ? new Float32Array(Uint8Array.from(rawData).buffer)
    : Float32Array.from(floatData ?? [])
}

function setValues(tensor: onnx.ITensorProto, values: Float32Array): void {
  if (tensor.rawData?.length) tensor.rawData = new Uint8Array(Float32Array.from(values).buffer)
  else tensor.floatData = [...values]
}
