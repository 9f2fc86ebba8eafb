import { dlopen } from 'bun:ffi'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import { LogSink } from './log-sink.ts'
import { type Address, cString, Memory, pointerAt, stringAt } from './memory.ts'
import { OrtError } from './ort-error.ts'
import { bindAddress, bindFunction, type NativeFunction } from './ort-function.ts'
import { API_VERSION_MIN, ORT_SYMBOLS, type OrtSymbolName } from './ort-symbols.ts'
import { type ProviderLibrary, type RegisteredLibrary, registerLibraries } from './provider-library.ts'
import { silenceTelemetry } from './telemetry.ts'

export type OrtFunctions = Readonly<Record<OrtSymbolName, NativeFunction>>

const LOG_DRAIN_MS = 250
const SEVERITY_WARNING = 2
const SEVERITY_ERROR = 3
const DEVICE_ALLOCATOR = 0
const MEMORY_TYPE_DEFAULT = 0

/**
 * ONNX Runtime, loaded and ready: its functions, its environment and the few objects that live as long as the process.
 * A process loads one library once; it is never unloaded.
 */
export class Ort {
  readonly libraryPath: string
  /** As the library says it, like "1.30.0". */
  readonly version: string
  readonly apiVersion: number
  /** Of the `OrtApi` struct: other threads of this process bind the same functions from it. */
  readonly apiAddress: Address
  readonly functions: OrtFunctions
  readonly environment: Address
  readonly allocator: Address
  /** Describes plain CPU memory; shared by all tensors made over ours. */
  readonly cpuMemory: Address
  /** Providers compiled into this library, in the spelling of ONNX Runtime: "CPUExecutionProvider". */
  readonly providers: readonly string[]
  /** Those that came by libraries of their own, and those that did not. */
  readonly libraries: readonly RegisteredLibrary[]
  /** Why ONNX Runtime logs to standard error in its own format instead of into our log; undefined when it does not. */
  readonly logProblem: string | undefined
  readonly #sink: LogSink | undefined
  readonly #log: Logger

  constructor(libraryPath: string, libraries: readonly ProviderLibrary[] = []) {
    this.#log = logger('runtime')
    silenceTelemetry()
    const base = openLibrary(libraryPath)
    this.libraryPath = libraryPath
    this.version = base.version
    const api = negotiateApi(base, libraryPath)
    this.apiVersion = api.version
    this.apiAddress = api.address
    this.functions = bindFunctions(api.address, api.version)

    const sink = openSink()
    this.#sink = sink.sink
    this.logProblem = sink.problem
    if (sink.problem !== undefined) this.#log.warn('runtime.log_not_ours', { reason: sink.problem })
    const { CreateEnv, CreateEnvWithCustomLogger } = this.functions
    this.environment = this.out((out) =>
      sink.sink === undefined
        ? CreateEnv(SEVERITY_WARNING, LOG_ID.address, out)
        : CreateEnvWithCustomLogger(sink.sink.callback, null, SEVERITY_WARNING, LOG_ID.address, out),
    )
    this.check(this.functions.DisableTelemetryEvents(this.environment))
    this.allocator = this.out((out) => this.functions.GetAllocatorWithDefaultOptions(out))
    this.cpuMemory = this.out((out) =>
      this.functions.CreateCpuMemoryInfo(DEVICE_ALLOCATOR, MEMORY_TYPE_DEFAULT, out),
    )
    this.providers = this.#listProviders()
    this.libraries = registerLibraries(this, libraries)
    for (const library of this.libraries) this.#tell(library)
    setInterval(() => this.drainLog(), LOG_DRAIN_MS).unref()
  }

  /** Throws what a status says, and frees it; null is success. */
  check(status: number | null): void {
    if (status === null || status === 0) return
    const code = this.functions.GetErrorCode(status) ?? 1
    const message = stringAt(this.functions.GetErrorMessage(status) ?? 0)
    this.functions.ReleaseStatus(status)
    this.drainLog()
    throw new OrtError(code, message)
  }

  /** Calls a function that writes one pointer or size through its last argument, and gives that back. */
  out(call: (out: Address) => number | null): number {
    const result = new Memory(8)
    this.check(call(result.address))
    return result.word(0)
  }

  /** Same for a string that ONNX Runtime allocated: copied and freed. */
  outString(call: (out: Address) => number | null): string {
    const address = this.out(call)
    if (address === 0) return ''
    const text = stringAt(address)
    this.check(this.functions.AllocatorFree(this.allocator, address))
    return text
  }

  /**
   * What ONNX Runtime logged meanwhile, into our log, a level lower than it says: what it calls an error is given back
   * as a status too, and may be the fault of a client, who must not be able to call out a person.
   */
  drainLog(): void {
    for (const { severity, id, where, text } of this.#sink?.drain() ?? []) {
      const level = severity > SEVERITY_ERROR ? 'error' : severity === SEVERITY_ERROR ? 'warn' : 'info'
      this.#log[level]('runtime.onnxruntime_says', { session: id, where, text })
    }
  }

  /** Log messages of ONNX Runtime that were lost because they came faster than they were read. */
  get logDropped(): number {
    return this.#sink?.dropped ?? 0
  }

  #tell(library: RegisteredLibrary): void {
    const { name, path } = library
    if ('problem' in library) {
      this.#log.warn('runtime.provider_library_unusable', { provider: name, path, reason: library.problem })
    } else {
      const { provider, version, kind } = library.chosen
      this.#log.info('runtime.provider_library', {
        provider: name,
        path,
        name: provider,
        version,
        device: kind,
      })
    }
  }

  #listProviders(): string[] {
    const out = new Memory(16)
    this.check(this.functions.GetAvailableProviders(out.address, out.address + 8))
    const count = out.words[2] ?? 0
    const array = out.word(0)
    const names = Array.from({ length: count }, (_, index) => stringAt(pointerAt(array, index * 8)))
    this.check(this.functions.ReleaseAvailableProviders(array, count))
    return names
  }
}

const LOG_ID = cString('limpet')

/** A device whose log cannot be set up still has to serve. */
function openSink(): { sink: LogSink; problem: undefined } | { sink: undefined; problem: string } {
  try {
    return { sink: new LogSink(), problem: undefined }
  } catch (error) {
    return { sink: undefined, problem: messageOf(error) }
  }
}

interface ApiBase {
  readonly version: string
  readonly getApi: (version: number) => Address
}

function openLibrary(path: string): ApiBase {
  try {
    const library = dlopen(path, { OrtGetApiBase: { args: [], returns: 'ptr' } })
    const base = Number(library.symbols.OrtGetApiBase())
    const getApi = bindAddress(pointerAt(base, 0), ['i32'], 'ptr')
    const getVersion = bindAddress(pointerAt(base, 8), [], 'ptr')
    return { version: stringAt(getVersion() ?? 0), getApi: (version) => getApi(version) ?? 0 }
  } catch (cause) {
    throw new EdgeError(
      'library_unusable',
      `Cannot load ONNX Runtime from "${path}": ${messageOf(cause)}; give the path of a libonnxruntime.so for ` +
        `${process.arch} with runtime.library in the config`,
      { cause },
    )
  }
}

/** Version 1.N.P of the library gives API version N; asking for more makes it complain on standard error. */
function negotiateApi(base: ApiBase, path: string): { version: number; address: Address } {
  const newest = Number(base.version.split('.')[1] ?? 0)
  for (let version = newest; version >= API_VERSION_MIN; version -= 1) {
    const address = base.getApi(version)
    if (address !== 0) return { version, address }
  }
  throw new EdgeError(
    'library_unusable',
    `Cannot use ONNX Runtime ${base.version} at "${path}": its C API is version ${newest}, Limpet needs ` +
      `${API_VERSION_MIN} (ONNX Runtime 1.${API_VERSION_MIN}) or newer`,
  )
}

function bindFunctions(api: Address, apiVersion: number): OrtFunctions {
  const bound = Object.keys(ORT_SYMBOLS).map((name) => [
    name,
    bindFunction(api, apiVersion, name as OrtSymbolName),
  ])
  return Object.fromEntries(bound) as OrtFunctions
}
