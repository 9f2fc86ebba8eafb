import type { Attempt } from './attempt.ts'
import type { ProviderChoice, SessionOptions } from './backend.ts'
import { ProviderError } from './fallback.ts'
import { type Address, type Scope, scoped } from './memory.ts'
import type { Ort } from './ort.ts'
import { PLACEMENT_ENTRY, PLACEMENT_SINCE } from './placement.ts'
import { appendProvider } from './providers.ts'

const GRAPH_OPTIMIZATION = { none: 0, basic: 1, extended: 2, all: 99 } as const
const EXECUTION_MODE = { sequential: 0, parallel: 1 } as const

/** `OrtSessionOptions` for these options; the caller releases them after the session is created. */
export function createSessionOptions(
  ort: Ort,
  options: SessionOptions,
  { providers, optimizedPath }: Pick<Attempt, 'providers' | 'optimizedPath'>,
): Address {
  const { functions } = ort
  const handle = ort.out((out) => functions.CreateSessionOptions(out))
  try {
    scoped((scope) => setOptions(ort, { handle, options, scope }))
    for (const choice of providers) append(ort, handle, choice)
    if (optimizedPath !== undefined)
      scoped((scope) => ort.check(functions.SetOptimizedModelFilePath(handle, scope.string(optimizedPath))))
    return handle
  } catch (error) {
    ort.functions.ReleaseSessionOptions(handle)
    throw error
  }
}

function append(ort: Ort, handle: Address, choice: ProviderChoice): void {
  try {
    appendProvider(ort, handle, choice)
  } catch (cause) {
    throw new ProviderError(choice.name, cause)
  }
}

function setOptions(ort: Ort, to: { handle: Address; options: SessionOptions; scope: Scope }): void {
  const { functions } = ort
  const { handle, options, scope } = to
  ort.check(functions.SetSessionLogId(handle, scope.string(options.id)))
  ort.check(functions.SetIntraOpNumThreads(handle, options.threadsIntraOp))
  ort.check(functions.SetInterOpNumThreads(handle, options.threadsInterOp))
  ort.check(functions.SetSessionExecutionMode(handle, EXECUTION_MODE[options.executionMode]))
  ort.check(functions.SetSessionGraphOptimizationLevel(handle, GRAPH_OPTIMIZATION[options.graphOptimization]))
  ort.check((options.memoryArena ? functions.EnableCpuMemArena : functions.DisableCpuMemArena)(handle))
  ort.check((options.memoryPattern ? functions.EnableMemPattern : functions.DisableMemPattern)(handle))
  for (const [name, value] of Object.entries(options.freeDimensions)) {
    ort.check(functions.AddFreeDimensionOverrideByName(handle, scope.string(name), value))
  }
  const placement = ort.apiVersion < PLACEMENT_SINCE ? {} : { [PLACEMENT_ENTRY]: '1' }
  const entries = { ...DEFAULT_ENTRIES, ...placement, ...options.configEntries }
  for (const [key, value] of Object.entries(entries)) {
    ort.check(functions.AddSessionConfigEntry(handle, scope.string(key), scope.string(value)))
  }
}

/**
 * Threads that spin while they wait take the core from whoever has work: with a second process on this box, runs fell
 * to a fifth.
 */
const DEFAULT_ENTRIES: Readonly<Record<string, string>> = {
  'session.intra_op.allow_spinning': '0',
  'session.inter_op.allow_spinning': '0',
}
