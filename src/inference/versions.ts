/** Which versions of a model are served, as Triton's version policy has it. */
export type VersionPolicy = 'latest' | 'all' | { readonly latest: number } | readonly string[]

const PIECES = /\d+|\D/g

/**
 * Numbers by value, everything else as text: "10" after "9", "1.10" after "1.9". What follows a "-" comes before the
 * same without it, as in Semantic Versioning 2.0.0, 11: "1.9-rc1" before "1.9".
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.match(PIECES) ?? [], b.match(PIECES) ?? []]
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const order = comparePieces(left[index], right[index])
    if (order !== 0) return order
  }
  // Equal by value, like "1" and "01": any order will do as long as it is always the same.
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}

function comparePieces(a: string | undefined, b: string | undefined): number {
  if (a === undefined) return b === '-' ? 1 : -1
  if (b === undefined) return a === '-' ? -1 : 1
  const [left, right] = [BigInt(/\d/.test(a) ? a : -1), BigInt(/\d/.test(b) ? b : -1)]
  if (left >= 0n && right >= 0n) return left < right ? -1 : left > right ? 1 : 0
  return a < b ? -1 : a > b ? 1 : 0
}

export function latestVersion(versions: Iterable<string>): string | undefined {
  return [...versions].sort(compareVersions).at(-1)
}

/** The versions to load out of those that are there, oldest first: what the policy says, and what has a label. */
export function chooseVersions(
  policy: VersionPolicy,
  there: readonly string[],
  labelled: readonly string[] = [],
): string[] {
  const sorted = [...there].sort(compareVersions)
  const chosen = byPolicy(policy, sorted)
  return sorted.filter((version) => chosen.includes(version) || labelled.includes(version))
}

function byPolicy(policy: VersionPolicy, sorted: readonly string[]): readonly string[] {
  if (policy === 'all') return sorted
  if (policy === 'latest') return sorted.slice(-1)
  if ('latest' in policy) return sorted.slice(-policy.latest)
  return sorted.filter((version) => policy.includes(version))
}
