/** How a version takes the place of another one: beside it, or after it. */
export type SwapWay = 'keep_both' | 'drain'

export interface SwapFacts {
  /** What the model's config says. */
  readonly policy: 'auto' | SwapWay
  /** What the new version is expected to take. */
  readonly bytes: number
  /** Its files, which are in memory too while they are loaded. */
  readonly fileBytes: number
  /** What is left of models.memory_bytes_max; infinite without one. */
  readonly budgetFreeBytes: number
  /** What the system could still give. */
  readonly availableBytes: number
  /** Whether what is replaced could come back as it was: its files are there, and no sequence is open in it. */
  readonly mayDrain: boolean
}

/** The way, and why in words for the log. */
export function chooseSwap(facts: SwapFacts): { readonly way: SwapWay; readonly why: string } {
  const { policy, bytes, fileBytes, budgetFreeBytes, availableBytes } = facts
  if (!facts.mayDrain) return { way: 'keep_both', why: 'what is replaced could not come back' }
  if (policy !== 'auto') return { way: policy, why: `swap = "${policy}"` }
  if (bytes > budgetFreeBytes) {
    return {
      way: 'drain',
      why: `${bytes} bytes are needed, ${budgetFreeBytes} are left of models.memory_bytes_max`,
    }
  }
  const peakBytes = bytes + fileBytes
  const facing = `${peakBytes} bytes are needed while it is loaded, the system has ${availableBytes}`
  return { way: peakBytes > availableBytes ? 'drain' : 'keep_both', why: facing }
}
