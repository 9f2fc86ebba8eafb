import type { ModelSource, ProviderChoice, SessionOptions } from './backend.ts'
import type { Address } from './memory.ts'

/** One session as it is to be created, by exactly these providers. */
export interface Attempt {
  readonly source: ModelSource
  readonly options: SessionOptions
  readonly providers: readonly ProviderChoice[]
  /** Where ONNX Runtime is to write the graph as it has rewritten it. */
  readonly optimizedPath?: string | undefined
  /** It will take minutes: others are not to wait for it. */
  readonly isBuild?: boolean
  readonly onStep?: ((what: string) => void) | undefined
}

export type Create = (attempt: Attempt) => Promise<Address>

export interface Created {
  readonly handle: Address
  /** Called when the session is closed. */
  readonly onClosed: () => void
}

/** Of a session that nothing is kept of. */
export function plain(handle: Address): Created {
  return { handle, onClosed: () => undefined }
}
