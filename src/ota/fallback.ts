import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import { servedName } from './package.ts'
import type { Parts } from './parts.ts'
import { resultOf } from './step.ts'
import type { Installed } from './update.ts'

interface Fallen {
  readonly isServing: boolean
  /** False where there has never been anything but the version that is taken back. */
  readonly hadCandidates: boolean
  readonly reason: string
}

/**
 * Away from a version that must not serve: to one of the candidates, else to the last that has proven itself, else to
 * what served before that, else to what the device came with. Each is hashed in full before it is trusted again. Loud, whenever it is not the first.
 */
export async function fallBack(
  { journal, store, serve }: Pick<Parts, 'journal' | 'store' | 'serve'>,
  of: { model: string; from: Installed; candidates: readonly (Installed | undefined)[]; signal: AbortSignal },
): Promise<Fallen> {
  const { model, from, signal } = of
  const log = logger('ota')
  const name = servedName(model)
  const wanted = [...of.candidates, journal.good(model), ...(await store.earlier(model))]
  const candidates = distinct(wanted).filter(
    ({ manifest }) => manifest !== from.manifest && !journal.isQuarantined(manifest),
  )
  const reasons: string[] = []
  for (const candidate of candidates) {
    const at = { ...candidate, model }
    try {
      if (!(await store.isWhole(at))) throw new EdgeError('model_invalid', 'its files are not what they were')
      // Also where it leads there already: that it did so may not have been noted.
      await store.point(at)
      await serve.load(name, candidate.version, signal)
      if (reasons.length > 0) log.error('ota.fell_back', { model, to: candidate.version, reasons })
      return { isServing: true, hadCandidates: true, reason: reasons.join('; ') }
    } catch (error) {
      signal.throwIfAborted()
      if (resultOf(error) === undefined) throw error
      reasons.push(`version ${candidate.version}: ${messageOf(error)}`)
      log.error('ota.fallback_failed', { model, version: candidate.version, reason: messageOf(error) })
    }
  }
  if (candidates.length > 0) return { isServing: false, hadCandidates: true, reason: reasons.join('; ') }
  await store.unpoint(model)
  await serve.unload(name, signal)
  log.error('ota.nothing_to_serve', { model, reason: 'there was no version before this one' })
  return { isServing: false, hadCandidates: false, reason: 'there was no version before this one' }
}

function distinct(candidates: readonly (Installed | undefined)[]): Installed[] {
  const seen = new Set<string>()
  return candidates.filter((each): each is Installed => {
    if (each === undefined || seen.has(each.manifest)) return false
    seen.add(each.manifest)
    return true
  })
}
