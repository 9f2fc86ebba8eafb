import { existsSync } from 'node:fs'
import { messageOf } from '../kit/errors.ts'
import { type Address, pointerAt, type Scope, scoped, stringAt } from './memory.ts'
import type { Ort } from './ort.ts'

/** A plug-in execution provider: a library of its own, which ONNX Runtime loads by its path. */
export interface ProviderLibrary {
  /** What models and profiles call it. */
  readonly name: string
  readonly path: string
  /** Of several providers in the library this one, by the name that ONNX Runtime gives it. */
  readonly provider?: string | undefined
  /** Of several kinds of devices this one; without it a GPU before an NPU before a processor. */
  readonly device?: DeviceKind | undefined
  /** Of several of that kind the one with this number. */
  readonly device_index?: number | undefined
}

export type DeviceKind = (typeof DEVICE_KINDS)[number]

/** `OrtHardwareDeviceType`, in the order of its values. */
const DEVICE_KINDS = ['cpu', 'gpu', 'npu'] as const
const PREFERRED: readonly DeviceKind[] = ['gpu', 'npu', 'cpu']

/** A provider on a device that it has found. */
export interface ProviderDevice {
  readonly provider: string
  readonly vendor: string
  /** The provider's own, where it says it. */
  readonly version: string | undefined
  readonly kind: DeviceKind
  readonly deviceVendor: string
  readonly deviceId: number
}

interface FoundDevice extends ProviderDevice {
  /** `OrtEpDevice`, which lives as long as the library is registered. */
  readonly handle: Address
}

/** What became of a library: the device that models run on and all that were found, or why there is none. */
export type RegisteredLibrary = ProviderLibrary & {
  readonly devices: readonly ProviderDevice[]
} & ({ readonly chosen: ProviderDevice; readonly handle: Address } | { readonly problem: string })

/** ONNX Runtime 1.22 has the functions, 1.23 lets such a provider compile nodes, without which it could do nothing. */
const API_VERSION_PLUGINS = 23

/**
 * Registers them one after the other. None stops the others, nor the process: what a model loses by it is said where
 * that model is loaded.
 */
export function registerLibraries(ort: Ort, libraries: readonly ProviderLibrary[]): RegisteredLibrary[] {
  const found = new Map<string, readonly FoundDevice[]>()
  return libraries.map((library) => {
    try {
      // Two names for two devices of one library: it is registered once.
      const devices = found.get(library.path) ?? register(ort, library)
      found.set(library.path, devices)
      return chooseDevice(library, devices)
    } catch (error) {
      return { ...library, devices: [], problem: messageOf(error) }
    }
  })
}

function register(ort: Ort, { name, path }: ProviderLibrary): readonly FoundDevice[] {
  if (ort.apiVersion < API_VERSION_PLUGINS) {
    throw new Error(
      `ONNX Runtime ${ort.version} takes no provider libraries: it has to be 1.${API_VERSION_PLUGINS} or newer`,
    )
  }
  if (!existsSync(path)) throw new Error(`there is no "${path}"`)
  const before = new Set(listHandles(ort))
  const { RegisterExecutionProviderLibrary: call } = ort.functions
  try {
    scoped((scope) => ort.check(call(ort.environment, scope.string(name), scope.string(path))))
  } catch (cause) {
    throw new Error(
      `ONNX Runtime cannot use "${path}" as a provider library: ${messageOf(cause)}; it has to be a plug-in ` +
        'execution provider, which exports CreateEpFactories, for an ONNX Runtime no newer than this one ' +
        `(${ort.version})`,
      { cause },
    )
  }
  return listHandles(ort)
    .filter((handle) => !before.has(handle))
    .map((handle) => describeDevice(ort, handle))
}

function listHandles(ort: Ort): Address[] {
  return scoped((scope) => {
    const out = scope.memory(16)
    ort.check(ort.functions.GetEpDevices(ort.environment, out.address, out.address + 8))
    const array = out.word(0)
    return Array.from({ length: out.word(1) }, (_, index) => pointerAt(array, index * 8))
  })
}

function describeDevice(ort: Ort, handle: Address): FoundDevice {
  const { functions } = ort
  const hardware = functions.EpDevice_Device(handle) ?? 0
  const metadata = functions.EpDevice_EpMetadata(handle) ?? 0
  const version = scoped((scope) => stringAt(functions.GetKeyValue(metadata, scope.string('version')) ?? 0))
  return {
    handle,
    provider: stringAt(functions.EpDevice_EpName(handle) ?? 0),
    vendor: stringAt(functions.EpDevice_EpVendor(handle) ?? 0),
    version: version === '' ? undefined : version,
    kind: DEVICE_KINDS[functions.HardwareDevice_Type(hardware) ?? 0] ?? 'cpu',
    deviceVendor: stringAt(functions.HardwareDevice_Vendor(hardware) ?? 0),
    deviceId: functions.HardwareDevice_DeviceId(hardware) ?? 0,
  }
}

/** Pure: of the devices that a library has found, the one that its settings mean. */
export function chooseDevice<T extends ProviderDevice & { readonly handle: Address }>(
  library: ProviderLibrary,
  devices: readonly T[],
): RegisteredLibrary {
  const { provider, device, device_index = 0 } = library
  const ofProvider = devices.filter((one) => provider === undefined || one.provider === provider)
  const kind = device ?? PREFERRED.find((wanted) => ofProvider.some((one) => one.kind === wanted))
  const ofKind = ofProvider.filter((one) => one.kind === kind)
  // Numbers count within one provider.
  const chosen = ofKind.filter((one) => one.provider === ofKind[0]?.provider)[device_index]
  if (chosen !== undefined) return { ...library, devices, chosen, handle: chosen.handle }
  const has = devices.map((one) => `${one.provider} on ${one.kind} ${one.deviceVendor}`).join(', ')
  const wish = [
    ...(provider === undefined ? [] : [`provider = "${provider}"`]),
    ...(device === undefined ? [] : [`device = "${device}"`]),
    ...(device_index === 0 ? [] : [`device_index = ${device_index}`]),
  ].join(', ')
  const problem =
    devices.length === 0
      ? `"${library.path}" was loaded and finds no device here that it can run on`
      : `"${library.path}" has nothing for ${wish}: it has ${has}`
  return { ...library, devices, problem }
}

/** Adds the provider of a registered library to session options. */
export function appendLibrary(
  ort: Ort,
  sessionOptions: Address,
  library: RegisteredLibrary,
  options: (scope: Scope) => [keys: Address, values: Address, count: number],
): void {
  if ('problem' in library) throw new Error(library.problem)
  const { SessionOptionsAppendExecutionProvider_V2: append } = ort.functions
  scoped((scope) => {
    const devices = scope.memory(8)
    devices.setWord(0, library.handle)
    ort.check(append(sessionOptions, ort.environment, devices.address, 1, ...options(scope)))
  })
}
