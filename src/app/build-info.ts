declare const LIMPET_VERSION: string | undefined
declare const LIMPET_COMMIT: string | undefined

/** Set by `scripts/build.ts`; from a checkout there is neither. */
export const BUILD = {
  version: typeof LIMPET_VERSION === 'string' ? LIMPET_VERSION : '0.0.0-checkout',
  commit: typeof LIMPET_COMMIT === 'string' ? LIMPET_COMMIT : 'unknown',
} as const
