import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Assignment, Journal } from './journal.ts'
import { servedName } from './package.ts'
import type { ServePort, StorePort } from './ports.ts'
import type { Installed } from './update.ts'

interface WithdrawParts {
  readonly journal: Journal
  readonly store: StorePort
  readonly serve: ServePort
}

/** Until the data plane has let go of it, and that is told: over any number of starts. */
const NOTE = 'withdrawing'

interface Withdrawing extends Installed {
  readonly model: string
}

/**
 * What a verified assignment does not name any more stops serving: its pointer goes, its files stay until their room is
 * needed. What the device came with is never touched, and serves again where the assigned one had taken its place.
 */
export async function withdraw(
  parts: WithdrawParts,
  { isUnderway, signal }: { isUnderway: (model: string) => boolean; signal: AbortSignal },
): Promise<void> {
  const { journal, store } = parts
  const { assignment } = journal
  // Nothing was ever said, or what was said is lost: that is no word that nothing should run.
  if (assignment === undefined) return
  const begun = (journal.note(NOTE) ?? []) as Withdrawing[]
  const found: Withdrawing[] = []
  for (const model of await store.models()) {
    const running = await store.current(model)
    const isBegun = begun.some((each) => each.model === model)
    if (running === undefined || isBegun || isUnderway(model) || isWanted(model, assignment)) continue
    found.push({ ...running, model })
  }
  const all = [...begun, ...found]
  if (found.length > 0) journal.setNote(NOTE, all)
  for (const each of all) {
    if (isUnderway(each.model)) continue
    // It was assigned again meanwhile: what runs of it is its update's business.
    if (isWanted(each.model, assignment) || (await letGo(parts, each, signal)))
      finish(journal, each, assignment)
  }
}

/** Its name in the data plane counts: a model of another family that is to serve under it takes it over without a gap. */
function isWanted(model: string, { models }: Assignment): boolean {
  return models.some((each) => servedName(each.model) === servedName(model))
}

/** True once the data plane serves it no more. */
async function letGo(
  { store, serve }: WithdrawParts,
  { model, ...from }: Withdrawing,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    // It has no release: publishers count from 1.
    const cameWith = (await store.earlier(model)).find(({ release }) => release === 0)
    if (cameWith === undefined) {
      await store.unpoint(model)
      await serve.unload(servedName(model), signal)
    } else {
      await store.point({ ...cameWith, model })
      await serve.load(servedName(model), cameWith.version, signal)
    }
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof EdgeError)) throw error
    logger('ota').warn('ota.withdrawal_waits', { model, version: from.version, reason: messageOf(error) })
    return false
  }
}

function finish(journal: Journal, done: Withdrawing, assignment: Assignment): void {
  const { model, version, manifest } = done
  const left = ((journal.note(NOTE) ?? []) as Withdrawing[]).filter((each) => each.model !== model)
  const isWithdrawn = !isWanted(model, assignment)
  const event = {
    rev: assignment.rev,
    model,
    version,
    manifest,
    from: 'committed',
    to: 'withdrawn',
    attempt: 1,
    code: 'unassigned',
    reason: `rev ${assignment.rev} does not assign it any more`,
  } as const
  journal.settle({
    note: NOTE,
    left: left.length === 0 ? undefined : left,
    event: isWithdrawn ? event : undefined,
  })
  if (isWithdrawn) logger('ota').info('ota.withdrawn', { model, version, rev: assignment.rev })
}
