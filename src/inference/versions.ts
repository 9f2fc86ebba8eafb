/** Which versions of a model are served, as Triton's version policy has it. */
export type VersionPolicy = 'latest' | 'all' | { readonly latest: number } | readonly string[]

/** Numbers by value, everything else as text; "10" after "9", "1.10" after "1.9". */
export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : a > b ? 1 : 0)
}

export function latestVersion(versions: Iterable<string>): string | undefined {
  return [...versions].sort(compareVersions).at(-1)
}

/** The versions to load out of those that are there, oldest first. */
export function chooseVersions(policy: VersionPolicy, there: readonly string[]): string[] {
  const sorted = [...there].sort(compareVersions)
  if (policy === 'all') return sorted
  if (policy === 'latest') return sorted.slice(-1)
  if ('latest' in policy) return sorted.slice(-policy.latest)
  return sorted.filter((version) => policy.includes(version))
}
