/** The only source of randomness. Passed in, so that tests can choose what falls. */
export interface Random {
  /** From 0 up to, but not, 1. Good for jitter, not for secrets. */
  fraction(): number
  /** Nobody can guess these. */
  bytes(count: number): Uint8Array<ArrayBuffer>
}

export const systemRandom: Random = {
  fraction: () => Math.random(),
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
}
