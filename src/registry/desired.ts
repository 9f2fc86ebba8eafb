import type { AssignedModels } from './assignments.ts'
import type { Gives } from './rollout-member.ts'

/**
 * What a device should run, out of what operators and rollouts have said. For each model the last word counts, but for
 * one: what a device's own assignment says of a model, nothing else changes. Pure.
 */

type Entry = AssignedModels[number]

/** What an assignment says of a model, and since which word. */
export interface Said {
  readonly entry: Entry
  readonly word: number
}

/** A rollout that has reached the device. */
export interface Reach {
  readonly rollout: string
  readonly state: string
  readonly gives: Exclude<Gives, 'nothing'>
  /** Of its start, and of its end where it was aborted or reverted. */
  readonly word: number
  readonly lastWord: number
  readonly entry: Entry
  /** What it goes back to, where one version was named for all. */
  readonly back: Entry | null
  /** What ran on the device before. */
  readonly ran: Entry | null
}

export interface Sources {
  /** Undefined: it has no assignment of its own. */
  readonly own: readonly Said[] | undefined
  /** Undefined: there is none for all. */
  readonly all: readonly Said[] | undefined
  readonly reaches: readonly Reach[]
  /** Up to this word others may have been lost, when the registry was restored from an old copy. */
  readonly lostWord: number
}

interface Explained {
  readonly model: string
  /** Null: nothing. */
  readonly runs: { readonly version: string; readonly manifest: string } | null
  readonly because: string
  readonly passed_over: readonly { readonly version: string; readonly because: string }[]
}

export interface Composed {
  /** Undefined: nobody has ever said anything. */
  readonly models: Entry[] | undefined
  readonly explained: Explained[]
}

interface Claim {
  readonly entry: Entry
  readonly word: number
  readonly words: string
}

export function compose(sources: Sources): Composed {
  const { own, all, reaches } = sources
  const base = own ?? all
  if (base === undefined && reaches.length === 0) return { models: undefined, explained: [] }
  const models: Entry[] = []
  const explained: Explained[] = []
  for (const model of modelsIn(sources)) {
    const { entry, ...told } = choose(model, sources)
    explained.push({ model, runs: entry && { version: entry.version, manifest: entry.manifest }, ...told })
    if (entry !== null) models.push(entry)
  }
  return { models, explained }
}

/** In the order of the assignment, then by name; models whose served name is taken by another are left out. */
function modelsIn({ own, all, reaches }: Sources): string[] {
  const base = (own ?? all ?? []).map(({ entry }) => entry.model)
  const more = [...new Set(reaches.map(({ entry }) => entry.model))]
    .filter((model) => !base.includes(model))
    .sort()
  const taken = new Map<string, string>()
  return [...base, ...more].filter((model) => {
    const served = model.split('/').at(-1) ?? ''
    const holder = taken.get(served) ?? model
    taken.set(served, holder)
    return holder === model
  })
}

function choose(
  model: string,
  sources: Sources,
): { entry: Entry | null } & Pick<Explained, 'because' | 'passed_over'> {
  const pinned = sources.own?.find((said) => said.entry.model === model)
  const claims = claimsOn(model, sources).toSorted((a, b) => b.word - a.word)
  const backs = sources.reaches.filter((reach) => reach.entry.model === model && reach.gives === 'back')
  const own = pinned && {
    ...pinned,
    words: "the device's own assignment says so, which nothing else changes",
  }
  const chosen = own ?? claims[0] ?? claimOfBefore(backs)
  const passed = [
    ...claims
      .filter((claim) => claim !== chosen)
      .map((claim) => ({ version: claim.entry.version, because: `${claim.words}, but not the last word` })),
    ...backs.map((reach) => ({
      version: reach.entry.version,
      because: `rollout ${reach.rollout} is ${reach.state} here`,
    })),
  ]
  if (chosen === undefined)
    return { entry: null, because: 'nothing that is still wanted says otherwise', passed_over: passed }
  const entry = own === undefined ? allow(chosen, backs, sources.lostWord) : keep(chosen, sources.lostWord)
  return { entry, because: chosen.words, passed_over: passed }
}

/** Where nobody says anything any more, what ran before the rollout that was taken back. */
function claimOfBefore(backs: readonly Reach[]): Claim | undefined {
  const last = backs.toSorted((a, b) => b.word - a.word).find(({ ran }) => ran !== null)
  if (last === undefined || last.ran === null) return undefined
  const words = `it ran this before rollout ${last.rollout}, which was taken back`
  return { entry: last.ran, word: last.word, words }
}

function claimsOn(model: string, { own, all, reaches }: Sources): Claim[] {
  const forAll = own === undefined ? all?.find(({ entry }) => entry.model === model) : undefined
  const given = reaches.filter((reach) => reach.entry.model === model)
  return [
    ...(forAll === undefined ? [] : [{ ...forAll, words: 'the assignment for all says so' }]),
    ...given.flatMap(({ gives, entry, back, word, lastWord, rollout }): Claim[] => {
      if (gives === 'version') return [{ entry, word, words: `rollout ${rollout} has brought it` }]
      if (back === null) return []
      return [{ entry: back, word: lastWord, words: `rollout ${rollout} goes back to it` }]
    }),
  ]
}

/** The way back from a rollout leads to an older release, and has to be allowed. */
function allow(claim: Claim, backs: readonly Reach[], lostWord: number): Entry {
  const later = backs.filter((back) => Math.max(back.word, back.lastWord) >= claim.word)
  if (later.length === 0) return keep(claim, lostWord)
  const word = Math.max(...later.map(({ lastWord }) => lastWord))
  return keep({ ...claim, entry: { ...claim.entry, allow_downgrade: true }, word }, lostWord)
}

/** Words that others may have followed bring nothing older back. */
function keep({ entry, word }: Claim, lostWord: number): Entry {
  return word > lostWord || entry.allow_downgrade !== true ? entry : { ...entry, allow_downgrade: false }
}
