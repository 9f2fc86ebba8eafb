import { EdgeError } from '../kit/errors.ts'
import type { Signature, TensorSpec, UnsupportedOutput } from './backend.ts'
import { datatypeOf } from './datatypes.ts'
import { type Address, Memory, pointerAt, stringAt } from './memory.ts'
import type { Ort } from './ort.ts'
import type { OrtSymbolName } from './ort-symbols.ts'

/** `ONNXType` of onnxruntime_c_api.h. */
const ONNX_TYPES = ['unknown', 'tensor', 'sequence', 'map', 'opaque', 'sparse_tensor', 'optional'] as const
type OnnxType = (typeof ONNX_TYPES)[number]

/** The API version from which a library can tell a scalar from a tensor of any rank. */
const API_VERSION_HAS_SHAPE = 24

/** A value of the model: either a tensor, or something of a kind that no tensor can hold. */
type Described = { readonly spec: TensorSpec } | { readonly kind: OnnxType }

/** What a session takes and gives, as the model says it. */
export function readSignature(ort: Ort, session: Address): Signature {
  const inputs = readValues(ort, session, 'Input').map(({ name, described }) =>
    requireTensor(name, described),
  )
  const initializers = readValues(ort, session, 'OverridableInitializer')
  const optional = initializers.map(({ name, described }) => ({
    ...requireTensor(name, described),
    isOptional: true,
  }))

  const outputs: TensorSpec[] = []
  const unsupportedOutputs: UnsupportedOutput[] = []
  for (const { name, described } of readValues(ort, session, 'Output')) {
    if ('spec' in described) outputs.push(described.spec)
    else unsupportedOutputs.push({ name, kind: described.kind })
  }
  return { inputs: [...inputs, ...optional], outputs, unsupportedOutputs }
}

function requireTensor(name: string, described: Described): TensorSpec {
  if ('spec' in described) return described.spec
  throw new EdgeError(
    'model_invalid',
    `Cannot serve: input "${name}" is a ${described.kind}, only tensors can be sent`,
  )
}

function readValues(ort: Ort, session: Address, what: 'Input' | 'Output' | 'OverridableInitializer') {
  const functions = ort.functions
  const name = (suffix: string) => `SessionGet${what}${suffix}` as OrtSymbolName
  const count = ort.out((out) => functions[name('Count')](session, out))
  return Array.from({ length: count }, (_, index) => {
    const valueName = ort.outString((out) => functions[name('Name')](session, index, ort.allocator, out))
    const typeInfo = ort.out((out) => functions[name('TypeInfo')](session, index, out))
    try {
      return { name: valueName, described: describe(ort, typeInfo, valueName) }
    } finally {
      functions.ReleaseTypeInfo(typeInfo)
    }
  })
}

function describe(ort: Ort, typeInfo: Address, name: string): Described {
  const { functions } = ort
  const type = ONNX_TYPES[ort.out((out) => functions.GetOnnxTypeFromTypeInfo(typeInfo, out))] ?? 'unknown'
  if (type === 'optional') return describeOptional(ort, typeInfo, name)
  if (type !== 'tensor') return { kind: type }
  // Borrowed from the type info, not released.
  const tensorInfo = ort.out((out) => functions.CastTypeInfoToTensorInfo(typeInfo, out))
  const datatype = datatypeOf(ort.out((out) => functions.GetTensorElementType(tensorInfo, out)))
  if (datatype === undefined) return { kind: 'unknown' }
  return { spec: { name, datatype, ...readShape(ort, tensorInfo), isOptional: false } }
}

function describeOptional(ort: Ort, typeInfo: Address, name: string): Described {
  const { functions } = ort
  const optionalInfo = ort.out((out) => functions.CastTypeInfoToOptionalTypeInfo(typeInfo, out))
  const contained = ort.out((out) => functions.GetOptionalContainedTypeInfo(optionalInfo, out))
  try {
    return describe(ort, contained, name)
  } finally {
    functions.ReleaseTypeInfo(contained)
  }
}

function readShape(ort: Ort, tensorInfo: Address): Pick<TensorSpec, 'shape' | 'symbols'> {
  const { functions } = ort
  const { shape, rank } = readDimensions(ort, tensorInfo)
  if (rank === 0) {
    // An older library says the same of a scalar and of a tensor of any rank: leave the check to the run.
    const isKnown =
      ort.apiVersion >= API_VERSION_HAS_SHAPE && Boolean(functions.TensorTypeAndShape_HasShape(tensorInfo))
    return { shape: isKnown ? [] : undefined, symbols: [] }
  }
  const names = new Memory(rank * 8)
  ort.check(functions.GetSymbolicDimensions(tensorInfo, names.address, rank))
  return { shape, symbols: Array.from({ length: rank }, (_, index) => stringAt(names.word(index))) }
}

export function readDimensions(ort: Ort, tensorInfo: Address): { shape: number[]; rank: number } {
  const rank = ort.out((out) => ort.functions.GetDimensionsCount(tensorInfo, out))
  if (rank === 0) return { shape: [], rank }
  const dimensions = new Memory(rank * 8)
  ort.check(ort.functions.GetDimensions(tensorInfo, dimensions.address, rank))
  const signed = new BigInt64Array(dimensions.buffer, 0, rank)
  return { shape: Array.from(signed, Number), rank }
}

/** The texts that travel in a model file. */
export function readMetadata(ort: Ort, session: Address) {
  const { functions } = ort
  const handle = ort.out((out) => functions.SessionGetModelMetadata(session, out))
  try {
    const text = (name: OrtSymbolName) => ort.outString((out) => functions[name](handle, ort.allocator, out))
    return {
      producer: text('ModelMetadataGetProducerName'),
      graph: text('ModelMetadataGetGraphName'),
      domain: text('ModelMetadataGetDomain'),
      description: text('ModelMetadataGetDescription'),
      version: readModelVersion(ort, handle),
      custom: readCustomMetadata(ort, handle),
    }
  } finally {
    functions.ReleaseModelMetadata(handle)
  }
}

/** What ONNX Runtime gives when the model does not say. */
const NO_VERSION = 2n ** 63n - 1n

function readModelVersion(ort: Ort, handle: Address): number | undefined {
  const out = new Memory(8)
  ort.check(ort.functions.ModelMetadataGetVersion(handle, out.address))
  const version = new BigInt64Array(out.buffer, 0, 1)[0] ?? NO_VERSION
  return version === NO_VERSION ? undefined : Number(version)
}

function readCustomMetadata(ort: Ort, handle: Address): Record<string, string> {
  const { functions, allocator } = ort
  const out = new Memory(16)
  ort.check(functions.ModelMetadataGetCustomMetadataMapKeys(handle, allocator, out.address, out.address + 8))
  const array = out.word(0)
  const keys = Array.from({ length: out.word(1) }, (_, index) => pointerAt(array, index * 8))
  const entries = keys.map((key): [string, string] => {
    const value = ort.outString((to) =>
      functions.ModelMetadataLookupCustomMetadataMap(handle, allocator, key, to),
    )
    return [stringAt(key), value]
  })
  for (const address of [...keys, array]) {
    if (address !== 0) ort.check(functions.AllocatorFree(allocator, address))
  }
  return Object.fromEntries(entries)
}
