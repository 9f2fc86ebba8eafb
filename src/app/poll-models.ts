import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import { decideChanges, type Looks, lookAtModels, type Watched } from '../store/model-changes.ts'
import type { ModelRepository } from './model-repository.ts'

interface Polling {
  readonly root: string
  readonly repository: ModelRepository
  readonly clock: Clock
  readonly everyMs: number
  readonly stop: AbortSignal
  /** As the folder looked before the models were loaded. */
  readonly loaded: Looks
}

/** Brings the lanes in step with the folder, again and again, until told to stop. */
export async function pollModels(polling: Polling): Promise<void> {
  const log = logger('app')
  let watched: Watched = { seen: polling.loaded, loaded: polling.loaded }
  while (!polling.stop.aborted) {
    await polling.clock.sleep(polling.everyMs, polling.stop)
    if (polling.stop.aborted) return
    try {
      const changes = decideChanges(watched, await lookAtModels(polling.root))
      watched = changes.watched
      for (const model of changes.unload) await polling.repository.unload(model)
      for (const model of changes.load) await polling.repository.load(model)
      if (changes.load.length + changes.unload.length > 0) {
        log.info('app.models_polled', { loaded: changes.load, unloaded: changes.unload })
      }
    } catch (error) {
      // The folder may be on its way back: what is loaded goes on serving.
      log.warn('app.poll_failed', { reason: messageOf(error) })
    }
  }
}
