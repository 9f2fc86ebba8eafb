import type { ProviderRefusal } from './backend.ts'

/** "cuda refused it: no driver", as it is said wherever somebody looks. */
export function describeRefusal({ provider, reason, hasFailed = false }: ProviderRefusal): string {
  return `${provider} ${hasFailed ? 'failed while it ran' : 'refused it'}: ${reason}`
}
