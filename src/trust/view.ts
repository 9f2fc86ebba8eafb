import type { ModelFacts } from './approval.ts'
import type { EnvelopeKey } from './dsse.ts'
import { floorIn, listedManifest, listFamily } from './family-targets.ts'
import type { ListedManifest } from './manifest.ts'
import { fieldsOf, NO_TARGETS } from './metadata-fields.ts'
import { isFamilyName, manifestTarget, splitModel } from './names.ts'
import type { TargetsFields } from './sign-metadata.ts'
import type { TrustedTime } from './trusted-time.ts'
import type { TufWorkflow } from './workflow.ts'

/** What may run, as of one update of the metadata. Families are verified when they are first asked for. */
export class TrustView {
  /** Who may sign assignments; none where TUF lists nobody. */
  readonly directorKeys: readonly EnvelopeKey[]
  /** By what time this was judged, and how that was known. */
  readonly time: TrustedTime
  readonly #workflow: TufWorkflow

  constructor(workflow: TufWorkflow, facts: { directorKeys: readonly EnvelopeKey[]; time: TrustedTime }) {
    this.#workflow = workflow
    this.directorKeys = facts.directorKeys
    this.time = facts.time
  }

  get versions(): { readonly root: number; readonly timestamp: number; readonly snapshot: number } {
    const { root, timestamp, snapshot } = this.#workflow
    return { root: root.version, timestamp: timestamp.version, snapshot: snapshot.version }
  }

  /** When the first of the files that change by themselves runs out. */
  get expiresMs(): number {
    const { timestamp, snapshot } = this.#workflow
    return Math.min(Date.parse(timestamp.expires), Date.parse(snapshot.expires))
  }

  /** What is signed about one version of a model, and how low its releases may go. */
  async facts(model: string, version: string): Promise<ModelFacts> {
    const family = splitModel(model)?.family
    if (family === undefined || !this.families().includes(family)) return { listed: undefined, floor: 0 }
    const target = await this.#workflow.find(manifestTarget(model, version))
    const targets = await this.#workflow.loadTargets(family, 'targets')
    const floor = Math.max(floorIn(targets, model), floorIn(this.#workflow.topTargets, model))
    return { listed: target === undefined ? undefined : listedManifest(target), floor }
  }

  /** Families that have published something. */
  families(): string[] {
    const { topTargets, snapshot } = this.#workflow
    const delegated = Object.keys(topTargets.delegations?.roles ?? {})
    return delegated.filter((name) => isFamilyName(name) && Object.hasOwn(snapshot.meta, `${name}.json`))
  }

  /** Ids of the keys that may publish for the family. */
  publishersOf(family: string): readonly string[] {
    const roles = this.#workflow.topTargets.delegations?.roles ?? {}
    return Object.hasOwn(roles, family) ? (roles[family]?.keyIDs ?? []) : []
  }

  /** What the family has signed, to make its next version of. */
  async familyFields(family: string): Promise<TargetsFields> {
    if (!this.families().includes(family)) return NO_TARGETS
    return fieldsOf(await this.#workflow.loadTargets(family, 'targets'))
  }

  /** All versions of all families, by model and release; or of some. */
  async listModels(
    families: readonly string[] = this.families(),
  ): Promise<(ListedManifest & { readonly floor: number })[]> {
    const lists: (ListedManifest & { readonly floor: number })[] = []
    for (const family of families) {
      const targets = await this.#workflow.loadTargets(family, 'targets')
      for (const listed of listFamily(family, targets)) {
        const floor = Math.max(
          floorIn(targets, listed.model),
          floorIn(this.#workflow.topTargets, listed.model),
        )
        lists.push({ ...listed, floor })
      }
    }
    return lists
  }
}
