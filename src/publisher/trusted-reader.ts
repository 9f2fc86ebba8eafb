import { HighWaterMemory } from '../trust/high-water.ts'
import { type MetadataFiles, roleFile } from '../trust/metadata-files.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { TufWorkflow } from '../trust/workflow.ts'

export interface TrustedReaderParts {
  readonly read: (name: string) => Promise<Uint8Array | undefined>
  /** What was verified before: versions never go back. */
  readonly files: MetadataFiles
  /** Where trust begins, when there are no files yet. */
  readonly firstRoot: Uint8Array
}

/**
 * The newest metadata of a registry, verified as a device would: whoever signs the next version must not sign what a
 * thief of the registry has slipped into the last one. Only expiry is not asked for: signing anew is what mends that.
 */
export class TrustedReader {
  readonly #parts: TrustedReaderParts

  constructor(parts: TrustedReaderParts) {
    this.#parts = parts
  }

  /** Of "root", "targets" or a family; undefined where a family has published nothing. */
  async newest(role: string): Promise<Uint8Array | undefined> {
    const { files, firstRoot, read } = this.#parts
    const root = (await files.read(roleFile('root'))) ?? firstRoot
    const source = { fetchMetadata: (name: string) => read(name) }
    const workflow = new TufWorkflow(root, { source, files, highWater: new HighWaterMemory(), nowMs: 0 })
    await workflow.refresh()
    if (role === 'root') return (await files.read(roleFile('root'))) ?? firstRoot
    if (workflow.snapshot.meta[roleFile(role)] === undefined) return undefined
    if (role !== 'targets') await this.#loadFamily(workflow, role)
    return await files.read(roleFile(role))
  }

  /** Where its key was changed and nothing signed with the new one yet, what was verified before is the newest. */
  async #loadFamily(workflow: TufWorkflow, family: string): Promise<void> {
    try {
      await workflow.loadTargets(family, 'targets')
    } catch (error) {
      if (!(error instanceof TrustRefusal) || error.reason !== 'publisher_not_delegated') throw error
      if ((await this.#parts.files.read(roleFile(family))) === undefined) throw error
    }
  }
}
