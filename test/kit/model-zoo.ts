/** Small models for tests, each the least that shows one thing a server has to cope with. */
import { onnx } from 'onnx-proto'

/** ONNX's numbers. The later ones are not in the generated enum, which is of ONNX 1.10. */
export const ELEMENT_TYPES = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  FLOAT8E4M3FNUZ: 18,
  FLOAT8E5M2: 19,
  FLOAT8E5M2FNUZ: 20,
  UINT4: 21,
  INT4: 22,
} as const

export type ElementType = keyof typeof ELEMENT_TYPES

/** A name is a symbolic dimension: any size, the same wherever the name stands. */
export type Shape = readonly (number | string)[]

interface Graph {
  readonly name: string
  readonly nodes: readonly onnx.INodeProto[]
  readonly inputs: readonly onnx.IValueInfoProto[]
  readonly outputs: readonly onnx.IValueInfoProto[]
  readonly initializers?: readonly onnx.ITensorProto[]
}

/** Of Triton's quickstart: OUTPUT0 is the sum, OUTPUT1 the difference. */
export function simple(): Uint8Array<ArrayBuffer> {
  const shape = ['batch', 16]
  return encodeModel({
    name: 'simple',
    nodes: [node('Add', ['INPUT0', 'INPUT1'], ['OUTPUT0']), node('Sub', ['INPUT0', 'INPUT1'], ['OUTPUT1'])],
    inputs: [tensor('INPUT0', 'INT32', shape), tensor('INPUT1', 'INT32', shape)],
    outputs: [tensor('OUTPUT0', 'INT32', shape), tensor('OUTPUT1', 'INT32', shape)],
  })
}

/** The same the other way round: OUTPUT0 is the difference, OUTPUT1 the sum. */
export function differenceFirst(): Uint8Array<ArrayBuffer> {
  const shape = ['batch', 16]
  return encodeModel({
    name: 'difference_first',
    nodes: [node('Sub', ['INPUT0', 'INPUT1'], ['OUTPUT0']), node('Add', ['INPUT0', 'INPUT1'], ['OUTPUT1'])],
    inputs: [tensor('INPUT0', 'INT32', shape), tensor('INPUT1', 'INT32', shape)],
    outputs: [tensor('OUTPUT0', 'INT32', shape), tensor('OUTPUT1', 'INT32', shape)],
  })
}

export function identity(type: ElementType, shape: Shape = ['n']): Uint8Array<ArrayBuffer> {
  return encodeModel(identityGraph(type, shape), opsetWith(type))
}

export function stringIdentity(): Uint8Array<ArrayBuffer> {
  return identity('STRING')
}

/** OUTPUT0 = INPUT0 + BIAS, where BIAS may be left out: it is then the same everywhere. */
export function optionalInput(bias = 0.5): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'optional_input',
    nodes: [node('Add', ['INPUT0', 'BIAS'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'FLOAT', ['n']), tensor('BIAS', 'FLOAT', [1])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
    initializers: [{ name: 'BIAS', dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [bias] }],
  })
}

/** One output, a sequence of the rows of INPUT0. */
export function sequenceOutput(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'sequence_output',
    nodes: [node('SplitToSequence', ['INPUT0'], ['OUTPUT0'], [integer('axis', 0), integer('keepdims', 0)])],
    inputs: [tensor('INPUT0', 'FLOAT', ['rows', 'columns'])],
    outputs: [{ name: 'OUTPUT0', type: sequenceOf(tensorType('FLOAT', ['columns'])) }],
  })
}

/** As scikit-learn's converter writes a classifier: OUTPUT0 the label, OUTPUT1 a map from label to score. */
export function mapOutput(): Uint8Array<ArrayBuffer> {
  const labels: onnx.IAttributeProto = {
    name: 'classlabels_int64s',
    type: onnx.AttributeProto.AttributeType.INTS,
    ints: [0, 1, 2],
  }
  return encodeModel({
    name: 'map_output',
    nodes: [
      node('ArgMax', ['INPUT0'], ['OUTPUT0'], [integer('axis', 1), integer('keepdims', 0)]),
      { ...node('ZipMap', ['INPUT0'], ['OUTPUT1'], [labels]), domain: 'ai.onnx.ml' },
    ],
    inputs: [tensor('INPUT0', 'FLOAT', ['batch', 3])],
    outputs: [
      tensor('OUTPUT0', 'INT64', ['batch']),
      { name: 'OUTPUT1', type: sequenceOf(mapFromInteger(tensorType('FLOAT', []))) },
    ],
  })
}

/**
 * Adds up: OUTPUT0 is INPUT0 and what STATE holds, NEXT the same for the next time. SAID is what START, END and READY
 * say, WHO is what ID says.
 */
export function accumulator(batch: number | string = 'batch'): Uint8Array<ArrayBuffer> {
  const shape = [batch, 1]
  return encodeModel({
    name: 'accumulator',
    nodes: [
      node('Add', ['INPUT0', 'STATE'], ['OUTPUT0']),
      node('Identity', ['OUTPUT0'], ['NEXT']),
      node('Concat', ['START', 'END', 'READY'], ['SAID'], [integer('axis', 1)]),
      node('Identity', ['ID'], ['WHO']),
    ],
    inputs: [
      ...['INPUT0', 'STATE', 'START', 'END', 'READY'].map((name) => tensor(name, 'INT32', shape)),
      tensor('ID', 'UINT64', shape),
    ],
    outputs: [
      tensor('OUTPUT0', 'INT32', shape),
      tensor('NEXT', 'INT32', shape),
      tensor('SAID', 'INT32', [batch, 3]),
      tensor('WHO', 'UINT64', shape),
    ],
  })
}

/** Adds up without being told of beginnings: OUTPUT0 is INPUT0 and what STATE holds, NEXT the same for the next time. */
export function counter(): Uint8Array<ArrayBuffer> {
  const of = (name: string) => tensor(name, 'INT32', ['batch', 1])
  return encodeModel({
    name: 'counter',
    nodes: [node('Add', ['INPUT0', 'STATE'], ['OUTPUT0']), node('Identity', ['OUTPUT0'], ['NEXT'])],
    inputs: [of('INPUT0'), of('STATE')],
    outputs: [of('OUTPUT0'), of('NEXT')],
  })
}

/** Remembers everything: OUTPUT0 and NEXT are STATE and behind it INPUT0. */
export function recorder(type: ElementType = 'INT32'): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'recorder',
    nodes: [
      node('Concat', ['STATE', 'INPUT0'], ['OUTPUT0'], [integer('axis', 1)]),
      node('Identity', ['OUTPUT0'], ['NEXT']),
    ],
    inputs: [tensor('INPUT0', type, ['batch', 1]), tensor('STATE', type, ['batch', 'kept'])],
    outputs: [tensor('OUTPUT0', type, ['batch', 'more']), tensor('NEXT', type, ['batch', 'more'])],
  })
}

/** Multiplies two 256x256 matrices INPUT0 times, about a millisecond each. OUTPUT0 is 1/256. */
export function slow(): Uint8Array<ArrayBuffer> {
  const size = [256, 256]
  // Averages what it is multiplied with, so that nothing grows however often it is done.
  const average: onnx.IAttributeProto = {
    name: 'value',
    type: onnx.AttributeProto.AttributeType.TENSOR,
    t: { dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [1 / 256] },
  }
  const body: onnx.IAttributeProto = {
    name: 'body',
    type: onnx.AttributeProto.AttributeType.GRAPH,
    g: buildGraph({
      name: 'body',
      nodes: [
        node('Identity', ['condition'], ['condition_next']),
        node('MatMul', ['carried', 'matrix'], ['carried_next']),
      ],
      inputs: [
        tensor('iteration', 'INT64', []),
        tensor('condition', 'BOOL', []),
        tensor('carried', 'FLOAT', size),
      ],
      outputs: [tensor('condition_next', 'BOOL', []), tensor('carried_next', 'FLOAT', size)],
    }),
  }
  return encodeModel({
    name: 'slow',
    nodes: [
      node('ConstantOfShape', ['size'], ['matrix'], [average]),
      node('Loop', ['INPUT0', '', 'matrix'], ['multiplied'], [body]),
      node('ReduceMean', ['multiplied'], ['OUTPUT0'], [integer('keepdims', 0)]),
    ],
    inputs: [tensor('INPUT0', 'INT64', [1])],
    outputs: [tensor('OUTPUT0', 'FLOAT', [])],
    initializers: [{ name: 'size', dataType: ELEMENT_TYPES.INT64, dims: [2], int64Data: size }],
  })
}

/** OUTPUT0 is INPUT0 times a number: versions that can be told apart by what they answer. */
export function scaled(by: number): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'scaled',
    nodes: [node('Mul', ['INPUT0', 'by'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'FLOAT', ['n'])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
    initializers: [{ name: 'by', dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [by] }],
  })
}

/** The same, but NaN for what is below -100: no sample shows it that does not ask for it. */
export function brittle(by: number): Uint8Array<ArrayBuffer> {
  const scalar = (name: string, value: number) => {
    return { name, dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [value] }
  }
  return encodeModel({
    name: 'brittle',
    nodes: [
      node('Add', ['INPUT0', 'hundred'], ['above']),
      node('Sqrt', ['above'], ['root']),
      node('Mul', ['root', 'nothing'], ['zero']),
      node('Mul', ['INPUT0', 'by'], ['product']),
      node('Add', ['product', 'zero'], ['OUTPUT0']),
    ],
    inputs: [tensor('INPUT0', 'FLOAT', ['n'])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
    initializers: [scalar('hundred', 100), scalar('nothing', 0), scalar('by', by)],
  })
}

/** Fills INPUT0 floats with ones, four bytes each, and averages them. */
export function hungry(): Uint8Array<ArrayBuffer> {
  const one: onnx.IAttributeProto = {
    name: 'value',
    type: onnx.AttributeProto.AttributeType.TENSOR,
    t: { dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [1] },
  }
  return encodeModel({
    name: 'hungry',
    nodes: [
      node('ConstantOfShape', ['INPUT0'], ['filled'], [one]),
      node('ReduceMean', ['filled'], ['OUTPUT0'], [integer('keepdims', 0)]),
    ],
    inputs: [tensor('INPUT0', 'INT64', [1])],
    outputs: [tensor('OUTPUT0', 'FLOAT', [])],
  })
}

/** An identity of FLOAT that says all a model can say about itself. */
export function withMetadata(): Uint8Array<ArrayBuffer> {
  return encodeModel({ ...identityGraph('FLOAT', ['n']), name: 'described_graph' }, OPSET, {
    producerName: 'model-zoo',
    producerVersion: '1.2.3',
    domain: 'test.zoo',
    modelVersion: 7,
    docString: 'An identity that describes itself',
    graph: { docString: 'A graph with one node' },
    metadataProps: [
      { key: 'author', value: 'Zoë' },
      { key: 'labels', value: '["cat","dog"]' },
    ],
  })
}

/** OUTPUT0 is [10, 20, 30] at the places in INPUT0; any other place fails in the run. */
export function failsOnIndex(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'fails_on_index',
    nodes: [node('Gather', ['table', 'INPUT0'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'INT64', ['n'])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
    initializers: [{ name: 'table', dataType: ELEMENT_TYPES.FLOAT, dims: [3], floatData: [10, 20, 30] }],
  })
}

/** OUTPUT0 is what stands at the places in INPUT0 of a table that holds 0, 1, 2 and so on: weights that a run leaves be. */
export function table(length: number): Uint8Array<ArrayBuffer> {
  const rawData = new Uint8Array(Float32Array.from({ length }, (_, index) => index).buffer)
  return encodeModel({
    name: 'table',
    nodes: [node('Gather', ['table', 'INPUT0'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'INT64', ['n'])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
    initializers: [{ name: 'table', dataType: ELEMENT_TYPES.FLOAT, dims: [length], rawData }],
  })
}

/** OUTPUT0 is INPUT0 and the four floats of a file beside the model, 16 bytes. */
export function externalData(file: string): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'external_data',
    nodes: [node('Add', ['INPUT0', 'weights'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'FLOAT', [4])],
    outputs: [tensor('OUTPUT0', 'FLOAT', [4])],
    initializers: [
      {
        name: 'weights',
        dataType: ELEMENT_TYPES.FLOAT,
        dims: [4],
        dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
        externalData: [{ key: 'location', value: file }],
      },
    ],
  })
}

/** OUTPUT0 is what stands at the places in INPUT0 of a table of so many floats, which is a file beside the model. */
export function externalTable(file: string, length: number): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'external_table',
    nodes: [node('Gather', ['table', 'INPUT0'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'INT64', ['n'])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
    initializers: [
      {
        name: 'table',
        dataType: ELEMENT_TYPES.FLOAT,
        dims: [length],
        dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
        externalData: [{ key: 'location', value: file }],
      },
    ],
  })
}

/** OUTPUT0 is INPUT0, one number, and the weights, so many of them: four bytes each, in the file and of the answer. */
export function heavy(weights: number): Uint8Array<ArrayBuffer> {
  const rawData = new Uint8Array(new Float32Array(weights).fill(1).buffer)
  return encodeModel({
    name: 'heavy',
    nodes: [node('Add', ['INPUT0', 'weights'], ['sum']), node('ReduceMean', ['sum'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'FLOAT', [1])],
    outputs: [tensor('OUTPUT0', 'FLOAT', [1])],
    initializers: [{ name: 'weights', dataType: ELEMENT_TYPES.FLOAT, dims: [weights], rawData }],
  })
}

/** OUTPUT0 = INPUT0 / INPUT1: zeros give the numbers that JSON has no words for. */
export function divide(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'divide',
    nodes: [node('Div', ['INPUT0', 'INPUT1'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', 'FLOAT', ['n']), tensor('INPUT1', 'FLOAT', ['n'])],
    outputs: [tensor('OUTPUT0', 'FLOAT', ['n'])],
  })
}

/** OUTPUT0…5 are INPUT0…5, of six types and as many shapes. */
export function mixed(): Uint8Array<ArrayBuffer> {
  const parts: readonly (readonly [ElementType, Shape])[] = [
    ['FLOAT', ['batch', 3]],
    ['INT64', [2]],
    ['STRING', ['batch', 'words']],
    ['BOOL', ['flags']],
    ['UINT8', [1, 'height', 'width']],
    ['DOUBLE', []],
  ]
  return encodeModel({
    name: 'mixed',
    nodes: parts.map((_, index) => node('Identity', [`INPUT${index}`], [`OUTPUT${index}`])),
    inputs: parts.map(([type, shape], index) => tensor(`INPUT${index}`, type, shape)),
    outputs: parts.map(([type, shape], index) => tensor(`OUTPUT${index}`, type, shape)),
  })
}

/** IMAGE, rows of pixels of bytes, as a network takes it: PIXELS = IMAGE / 127.5 - 1, the colours first. */
export function prepareImage(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'prepare_image',
    nodes: [
      node('Cast', ['IMAGE'], ['floats'], [integer('to', ELEMENT_TYPES.FLOAT)]),
      node('Transpose', ['floats'], ['planes'], [integers('perm', [0, 3, 1, 2])]),
      node('Div', ['planes', 'half'], ['scaled']),
      node('Sub', ['scaled', 'one'], ['PIXELS']),
    ],
    inputs: [tensor('IMAGE', 'UINT8', ['batch', 'height', 'width', 3])],
    outputs: [tensor('PIXELS', 'FLOAT', ['batch', 3, 'height', 'width'])],
    initializers: [
      { name: 'half', dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [127.5] },
      { name: 'one', dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [1] },
    ],
  })
}

/** Of a map of scores: MASK where one is above THRESHOLD (0.3 where it is left out), and SHARE of the whole. */
export function maskScores(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'mask_scores',
    nodes: [
      node('Greater', ['SCORES', 'THRESHOLD'], ['MASK']),
      node('Cast', ['MASK'], ['ones'], [integer('to', ELEMENT_TYPES.FLOAT)]),
      node('ReduceMean', ['ones'], ['SHARE'], [integers('axes', [1, 2, 3]), integer('keepdims', 0)]),
    ],
    inputs: [tensor('SCORES', 'FLOAT', ['batch', 1, 'height', 'width']), tensor('THRESHOLD', 'FLOAT', [1])],
    outputs: [tensor('MASK', 'BOOL', ['batch', 1, 'height', 'width']), tensor('SHARE', 'FLOAT', ['batch'])],
    initializers: [{ name: 'THRESHOLD', dataType: ELEMENT_TYPES.FLOAT, dims: [1], floatData: [0.3] }],
  })
}

const OPSET = 17

/** The opset in which the operators learned the type. */
function opsetWith(type: ElementType): number {
  if (isFourBit(type)) return 21
  return type.startsWith('FLOAT8') ? 19 : OPSET
}

/** The file format that came with the opset: a runtime refuses newer types in an older one. */
function irVersionOf(opset: number): number {
  if (opset >= 21) return 10
  return opset >= 19 ? 9 : 8
}

function identityGraph(type: ElementType, shape: Shape): Graph {
  return {
    name: 'identity',
    nodes: [isFourBit(type) ? keepInOrder(shape.length) : node('Identity', ['INPUT0'], ['OUTPUT0'])],
    inputs: [tensor('INPUT0', type, shape)],
    outputs: [tensor('OUTPUT0', type, shape)],
  }
}

function isFourBit(type: ElementType): boolean {
  return type === 'UINT4' || type === 'INT4'
}

/** ONNX Runtime has no Identity of four bits, but a Transpose, and this one changes nothing. */
function keepInOrder(rank: number): onnx.INodeProto {
  const ints = Array.from({ length: rank }, (_, axis) => axis)
  const perm = { name: 'perm', type: onnx.AttributeProto.AttributeType.INTS, ints }
  return node('Transpose', ['INPUT0'], ['OUTPUT0'], [perm])
}

function encodeModel(graph: Graph, opset = OPSET, said: onnx.IModelProto = {}): Uint8Array<ArrayBuffer> {
  const bytes = onnx.ModelProto.encode({
    irVersion: irVersionOf(opset),
    opsetImport: [
      { domain: '', version: opset },
      { domain: 'ai.onnx.ml', version: 3 },
    ],
    ...said,
    graph: { ...buildGraph(graph), ...said.graph },
  }).finish()
  // A copy: the encoder's bytes may lie in a larger buffer that is shared.
  return new Uint8Array(bytes)
}

function buildGraph(graph: Graph): onnx.IGraphProto {
  return {
    name: graph.name,
    node: [...graph.nodes],
    input: [...graph.inputs],
    output: [...graph.outputs],
    initializer: [...(graph.initializers ?? [])],
  }
}

function node(
  opType: string,
  input: string[],
  output: string[],
  attribute: onnx.IAttributeProto[] = [],
): onnx.INodeProto {
  return { opType, input, output, attribute }
}

function integer(name: string, i: number): onnx.IAttributeProto {
  return { name, type: onnx.AttributeProto.AttributeType.INT, i }
}

function integers(name: string, ints: number[]): onnx.IAttributeProto {
  return { name, type: onnx.AttributeProto.AttributeType.INTS, ints }
}

function tensor(name: string, type: ElementType, shape: Shape): onnx.IValueInfoProto {
  return { name, type: tensorType(type, shape) }
}

function tensorType(type: ElementType, shape: Shape): onnx.ITypeProto {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }))
  return { tensorType: { elemType: ELEMENT_TYPES[type], shape: { dim } } }
}

function sequenceOf(elemType: onnx.ITypeProto): onnx.ITypeProto {
  return { sequenceType: { elemType } }
}

function mapFromInteger(valueType: onnx.ITypeProto): onnx.ITypeProto {
  return { mapType: { keyType: ELEMENT_TYPES.INT64, valueType } }
}
