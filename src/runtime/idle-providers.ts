import type { PlacedNodes, Session } from './backend.ts'

/**
 * Providers that took a model and run nothing of it, while one that was wanted less does. What comes after one that runs
 * everything is no loss.
 */
export function idleProviders({ placement }: Pick<Session, 'placement'>): string[] {
  const last = placement?.findLastIndex(({ nodes }) => nodes > 0) ?? -1
  return (placement ?? [])
    .slice(0, Math.max(0, last))
    .filter(({ nodes }) => nodes === 0)
    .map(({ provider }) => provider)
}

/** "CUDAExecutionProvider 120 nodes, CPUExecutionProvider 3 (NonMaxSuppression, TopK)", as a person wants to read it. */
export function describePlacement(placement: readonly PlacedNodes[]): string {
  return placement
    .map(({ provider, nodes, operators }, index) => {
      const what = operators.length === 0 ? '' : ` (${operators.join(', ')})`
      // Of the first, which is to have all of them, only how many.
      return `${provider} ${nodes}${index === 0 ? ' nodes' : what}`
    })
    .join(', ')
}
