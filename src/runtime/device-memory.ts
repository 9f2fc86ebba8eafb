import type { Signature } from './backend.ts'
import { type Address, cString, Memory } from './memory.ts'
import type { Ort } from './ort.ts'

/** The API that tells where a session has its inputs and outputs: ONNX Runtime 1.23. */
const DEVICE_MEMORY_SINCE = 23

const DEVICE_TYPE_CPU = 0
const HOST_ACCESSIBLE = 5
const DEVICE_ALLOCATOR = 0
const MEMORY_TYPE_CPU_OUTPUT = -1
const CUDA_PINNED = cString('CudaPinned')

/** `OrtMemoryInfo`, and the `OrtAllocator` of such memory. */
export interface Allocation {
  readonly info: Address
  readonly allocator: Address
}

/** Where a session that has memory of a device wants what comes, and has what it gives. */
export interface DeviceMemory {
  /** Memory of the host that the device reads and writes itself, pinned as CUDA has it; plain memory where it has none. */
  readonly host: Allocation
  readonly isPinned: boolean
  /** Inputs that are to lie on the device, by name; those that ONNX Runtime has to bring there itself are missing. */
  readonly inputs: ReadonlyMap<string, Allocation>
  /** Outputs that come from the device; undefined: from memory that ONNX Runtime alone reads. */
  readonly outputs: ReadonlyMap<string, Allocation | undefined>
  /** With the session. */
  release(): void
}

/** Undefined where all that goes in and out lies in plain memory, or where the library is too old to say. */
export function findDeviceMemory(ort: Ort, session: Address, signature: Signature): DeviceMemory | undefined {
  if (ort.apiVersion < DEVICE_MEMORY_SINCE) return undefined
  const { functions } = ort
  const inputCount = ort.out((out) => functions.SessionGetInputCount(session, out))
  const outputCount = ort.out((out) => functions.SessionGetOutputCount(session, out))
  const inputs = listOf(ort, inputCount, functions.SessionGetMemoryInfoForInputs, session)
  const outputs = listOf(ort, outputCount, functions.SessionGetMemoryInfoForOutputs, session)
  const first = [...inputs, ...outputs].find((info) => isOfDevice(ort, info))
  if (first === undefined) return undefined

  const devices = listOf(ort, inputCount, functions.SessionGetEpDeviceForInputs, session)
  const device = devices.find((handle) => handle !== 0)
  const pinned = device === undefined ? findCudaPinned(ort, session, first) : findPinned(ort, device)
  const places = signature.inputs.flatMap(({ name }, index) => {
    const info = inputs[index] ?? 0
    const allocation = isOfDevice(ort, info) ? sharedAllocation(ort, info) : undefined
    return allocation === undefined ? [] : [[name, allocation] as const]
  })
  const given = signature.outputs.flatMap(({ name }, index) => {
    const info = outputs[index] ?? 0
    if (!isOfDevice(ort, info)) return []
    return [[name, device === undefined ? undefined : sharedAllocation(ort, info)] as const]
  })
  return {
    host: pinned?.allocation ?? { info: ort.cpuMemory, allocator: ort.allocator },
    isPinned: pinned !== undefined,
    // Only of a plug-in provider the environment knows how to copy to it, and has its allocator.
    inputs: new Map(device === undefined ? [] : places),
    outputs: new Map(given),
    release: () => pinned?.release(),
  }
}

interface Pinned {
  readonly allocation: Allocation
  release(): void
}

function findPinned(ort: Ort, device: Address): Pinned | undefined {
  const info = ort.functions.EpDevice_MemoryInfo(device, HOST_ACCESSIBLE) ?? 0
  const allocation = info === 0 ? undefined : sharedAllocation(ort, info)
  return allocation && { allocation, release: () => undefined }
}

/** It belongs to the environment. */
function sharedAllocation(ort: Ort, info: Address): Allocation | undefined {
  const allocator = ort.out((out) => ort.functions.GetSharedAllocator(ort.environment, info, out))
  return allocator === 0 ? undefined : { info, allocator }
}

/**
 * CUDA and TensorRT where they are built for this one library: their sessions have such memory by this name, of the GPU
 * that their own memory is on.
 */
function findCudaPinned(ort: Ort, session: Address, own: Address): Pinned | undefined {
  const { functions } = ort
  const gpu = new Memory(8)
  ort.check(functions.MemoryInfoGetId(own, gpu.address))
  const id = gpu.words[0] ?? 0
  const info = ort.out((out) =>
    functions.CreateMemoryInfo(CUDA_PINNED.address, DEVICE_ALLOCATOR, id, MEMORY_TYPE_CPU_OUTPUT, out),
  )
  const made = new Memory(8)
  const status = functions.CreateAllocator(session, info, made.address)
  if (status !== null && status !== 0) {
    functions.ReleaseStatus(status)
    functions.ReleaseMemoryInfo(info)
    return undefined
  }
  const allocator = made.word(0)
  const release = () => {
    functions.ReleaseAllocator(allocator)
    functions.ReleaseMemoryInfo(info)
  }
  return { allocation: { info, allocator }, release }
}

function isOfDevice(ort: Ort, info: Address): boolean {
  if (info === 0) return false
  const out = new Memory(8)
  ort.functions.MemoryInfoGetDeviceType(info, out.address)
  return out.words[0] !== DEVICE_TYPE_CPU
}

function listOf(
  ort: Ort,
  count: number,
  fill: (session: number, to: number, count: number) => number | null,
  session: Address,
): Address[] {
  const list = new Memory(count * 8)
  ort.check(fill(session, list.address, count))
  return Array.from({ length: count }, (_, index) => list.word(index))
}
