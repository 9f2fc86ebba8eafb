import { logger } from '../kit/log.ts'
import { fallBack } from './fallback.ts'
import type { Journal } from './journal.ts'
import { isWorking } from './machine.ts'
import type { ServePort, StorePort } from './ports.ts'
import type { Installed } from './update.ts'

/**
 * The pointer is the truth. Before anything else is done each pointer is followed: one that leads to a version that is
 * not there or not whole falls back, unless an update is about to decide that anyway.
 */
export async function checkPointers(
  { journal, store, serve }: { journal: Journal; store: StorePort; serve: ServePort },
  signal: AbortSignal,
): Promise<void> {
  const onTheWay = new Set(
    journal
      .working()
      .filter(({ state }) => ['activate', 'observe', 'commit', 'revert'].includes(state))
      .map(({ model }) => model),
  )
  for (const model of await store.models()) {
    const installed = await store.current(model)
    if (onTheWay.has(model) || (installed !== undefined && (await store.isWhole({ ...installed, model }))))
      continue
    await fallBackFrom({ journal, store, serve }, { model, installed, signal })
  }
}

async function fallBackFrom(
  parts: { journal: Journal; store: StorePort; serve: ServePort },
  { model, installed, signal }: { model: string; installed: Installed | undefined; signal: AbortSignal },
): Promise<void> {
  const from = installed ?? { version: '', release: 0, manifest: '' }
  logger('ota').error('ota.pointer_broken', { model, version: from.version })
  const last = parts.journal.latest().find((update) => update.model === model && !isWorking(update.state))
  const fallen = await fallBack(parts, { model, from, candidates: [last?.previous], signal })
  parts.journal.tell({
    rev: parts.journal.assignment?.rev ?? 0,
    model,
    version: from.version,
    manifest: from.manifest,
    from: 'committed',
    to: fallen.isServing ? 'reverted' : 'stuck',
    attempt: 1,
    code: 'pointer_broken',
    reason: fallen.reason === '' ? 'its files are not what they were' : fallen.reason,
  })
}
