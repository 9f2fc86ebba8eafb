import { EdgeError } from '../kit/errors.ts'
import type { Generation, Match, Profile } from './profile.ts'
import type { BoardFacts } from './profile-facts.ts'

/** The profile of a board, and why it is that. */
export interface ProfileChoice {
  readonly profile: Profile
  /** 0 for safe defaults, and for what a person has chosen. */
  readonly score: number
  readonly reason: string
  /** What on this board no profile knows; such a thing is served by safe defaults. */
  readonly unknown: readonly string[]
  /** Of JetPack, where the profile knows the one that is installed. */
  readonly generation: Generation | undefined
  /** What was looked at. */
  readonly facts: BoardFacts
}

/** What holds on any machine. */
export const SAFE_PROFILE = 'unknown'

/** Each fact counts more than all those below it together: a device tree names one board, an architecture thousands. */
const SCORES = { device_tree: 16_000, pci: 8_000, cpu: 4_000, l4t: 2_000, architecture: 1_000 } as const

/** A function of its arguments alone: the same facts always give the same profile. */
export function chooseProfile(
  facts: BoardFacts,
  profiles: readonly Profile[],
  wanted: string | undefined,
): ProfileChoice {
  const best = wanted === undefined ? recognise(facts, profiles) : named(wanted, profiles)
  const { profile } = best
  const generation = profile.generations.find(({ l4t }) => l4t.includes(facts.l4t?.major ?? 0))
  return { ...best, facts, generation, unknown: listUnknown(facts, { profile, generation }) }
}

type Found = Pick<ProfileChoice, 'profile' | 'score' | 'reason'>

function named(wanted: string, profiles: readonly Profile[]): Found {
  const profile = profiles.find(({ name }) => name === wanted)
  if (profile !== undefined) return { profile, score: 0, reason: 'profile.name in the config' }
  const known = profiles.map(({ name }) => name).join(', ')
  throw new EdgeError(
    'config_invalid',
    `Cannot use profile.name "${wanted}": there is no such profile, expected one of ${known}`,
  )
}

function recognise(facts: BoardFacts, profiles: readonly Profile[]): Found {
  let best: Found | undefined
  for (const profile of profiles) {
    for (const match of profile.match) {
      const reasons = reasonsOf(match, facts)
      const score = scoreOf(match)
      if (reasons === undefined || score <= (best?.score ?? 0)) continue
      best = { profile, score, reason: reasons.join(', ') }
    }
  }
  if (best !== undefined) return best
  const reason = `no profile knows a board with the processor ${facts.architecture}: safe defaults`
  return { ...named(SAFE_PROFILE, profiles), reason }
}

/** Of a match that holds; the same on every board, so that no two need ever be equal. */
export function scoreOf(match: Match): number {
  const { weight, ...criteria } = match
  return Object.keys(criteria).reduce((sum, key) => sum + SCORES[key as keyof typeof SCORES], weight)
}

/** Undefined where something that the match names does not hold. */
function reasonsOf(match: Match, facts: BoardFacts): string[] | undefined {
  const { device_tree, pci, cpu, l4t } = match
  const reasons = [
    device_tree && reasonOf('the device tree says', findCompatible(device_tree, facts)),
    pci && reasonOf('on PCI is GPU', findGpu(pci, facts)),
    cpu &&
      reasonOf(
        'the processor is',
        cpu.find((kind) => facts.cpus.includes(kind)),
      ),
    l4t && reasonOf('Linux for Tegra is', l4t.includes(facts.l4t?.major ?? 0) ? versionOf(facts) : undefined),
    reasonOf(
      'the architecture is',
      facts.architecture === match.architecture ? facts.architecture : undefined,
    ),
  ].filter((reason) => reason !== undefined)
  return reasons.includes(false) ? undefined : (reasons as string[])
}

function reasonOf(words: string, value: string | undefined): string | false {
  return value === undefined ? false : `${words} ${value}`
}

function versionOf({ l4t }: BoardFacts): string {
  return `${l4t?.major}.${l4t?.revision}`
}

/** Words are parted by commas and pluses; what a maker adds behind, like "-super", is the same board. */
function findCompatible(wanted: readonly string[], { compatible }: BoardFacts): string | undefined {
  return compatible.find((entry) =>
    entry.split(/[,+]/).some((word) => wanted.some((name) => word === name || word.startsWith(`${name}-`))),
  )
}

function findGpu(ranges: readonly string[], { gpus }: BoardFacts): string | undefined {
  return gpus.find((gpu) => ranges.some((range) => isWithin(gpu, range)))
}

/** Hexadecimal numbers of one length are in the order of their texts. */
function isWithin(gpu: string, range: string): boolean {
  const [vendor = '', devices = ''] = range.split(':')
  const [first = '', last = first] = devices.split('-')
  const device = gpu.slice(vendor.length + 1)
  return gpu.startsWith(`${vendor}:`) && device >= first && device <= last
}

/** Hardware that somebody will expect to be used, and is not. */
function listUnknown(
  facts: BoardFacts,
  { profile, generation }: { profile: Profile; generation: Generation | undefined },
): string[] {
  const knows = (key: 'device_tree' | 'pci' | 'cpu') =>
    profile.match.some((match) => match[key] !== undefined)
  const tegra = facts.compatible.find((entry) => /\btegra\d/.test(entry))
  const nvidia = facts.gpus.find((gpu) => gpu.startsWith('10de:'))
  return [
    ...(profile.name === SAFE_PROFILE ? [`the processor ${facts.architecture}`] : []),
    ...(tegra !== undefined && !knows('device_tree') ? [`the NVIDIA board "${facts.compatible[0]}"`] : []),
    ...(nvidia !== undefined && !knows('pci') && !knows('device_tree') ? [`the NVIDIA GPU ${nvidia}`] : []),
    ...(facts.l4t !== undefined && generation === undefined ? [`Linux for Tegra ${versionOf(facts)}`] : []),
  ]
}
