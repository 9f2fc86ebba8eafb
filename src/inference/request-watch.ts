import type { Tensor } from '../runtime/backend.ts'

/** What somebody who watches is shown of a request. The bytes are there until the call returns, and no longer. */
export interface SeenRequest {
  /** As the client has named it; may be empty. */
  readonly id: string
  readonly inputs: readonly Tensor[]
}

/** An eye on one request; told once how it ended. Never throws: a request must not fail for being watched. */
export interface RequestEye {
  answered(seen: SeenRequest & { readonly outputs: readonly Tensor[] }): void
  failed(seen: SeenRequest & { readonly error: unknown }): void
}

/** Asked for each request, so it has to be cheap to say no. */
export interface RequestWatch {
  look(of: { readonly model: string; readonly version: string }): RequestEye | undefined
}
