import { messageOf } from '../kit/errors.ts'
import type { ProviderChoice, ProviderRefusal } from './backend.ts'
import { isCpu } from './providers.ts'

/** A provider that could not even be added to the session's options. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError'
  readonly provider: string

  constructor(provider: string, cause: unknown) {
    super(messageOf(cause), { cause })
    this.provider = provider
  }
}

/** Without the place in ONNX Runtime's source and the function's name, up to the innermost error that it quotes. */
export function plainReason(message: string): string {
  return message.replace(/^[\s\S]*\[ONNXRuntimeError\] : \d+ : \w+ : (?=\S)/, '')
}

export interface Opened<T> {
  readonly session: T
  readonly providers: readonly ProviderChoice[]
  readonly refusals: readonly ProviderRefusal[]
}

/**
 * Tries without each provider that refuses, the processor last, which no model does without. Where a session fails and
 * nobody says because of whom, the provider that was to have the most is taken out; a model that the processor does not
 * take either is a broken model, and what is said of it there counts.
 */
export async function openWithFallback<T>(
  wanted: readonly ProviderChoice[],
  open: (providers: readonly ProviderChoice[]) => Promise<T>,
  mustHave: readonly string[] = [],
): Promise<Opened<T>> {
  const refusals: ProviderRefusal[] = []
  let providers = wanted
  for (;;) {
    try {
      return { session: await open(providers), providers, refusals }
    } catch (error) {
      const refuser =
        error instanceof ProviderError ? error.provider : providers.find(({ name }) => !isCpu(name))?.name
      if (refuser === undefined || mustHave.includes(refuser)) throw error
      refusals.push({ provider: refuser, reason: plainReason(messageOf(error)) })
      providers = providers.filter(({ name }) => name !== refuser)
    }
  }
}
