declare const LIMPET_VERSION: string | undefined
declare const LIMPET_COMMIT: string | undefined
declare const LIMPET_COMMITTED_MS: number | undefined

/** Set by `scripts/build.ts`; from a checkout there is none. */
export const BUILD = {
  version: typeof LIMPET_VERSION === 'string' ? LIMPET_VERSION : '0.0.0-checkout',
  commit: typeof LIMPET_COMMIT === 'string' ? LIMPET_COMMIT : 'unknown',
  /** It is later than this, whatever the clock says. The commit's time: the same source makes the same binary. */
  committedMs: typeof LIMPET_COMMITTED_MS === 'number' ? LIMPET_COMMITTED_MS : 0,
} as const
