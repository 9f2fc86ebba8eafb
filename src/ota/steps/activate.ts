import { messageOf } from '../../kit/errors.ts'
import { servedName } from '../package.ts'
import type { Parts } from '../parts.ts'
import { failed, OK, resultOf, type Step, unfit } from '../step.ts'
import { noteBefore } from '../trial.ts'

/**
 * One durable flip; then the data plane is told to match. After a cut the pointer is the truth: where it has been
 * flipped, only the telling is left to do.
 */
export function createActivate({ store, serve, journal }: Parts): Step {
  return async ({ update, signal }) => {
    const { model, version } = update
    const name = servedName(model)
    const running = await store.current(model)
    if (running?.manifest !== update.manifest) {
      // A version is not blamed for what was so before it.
      if (!(await serve.isAlive(signal))) {
        return failed('serve_unreachable', 'the serving process does not answer, nothing was switched')
      }
      const before = running && (await serve.measure(name, running.version, signal))
      noteBefore(journal, update.id, before)
      journal.notePrevious(update.id, running)
    }
    // Also where it leads there already: that it did so may not have been noted.
    await store.point(update)
    try {
      await serve.load(name, version, signal)
    } catch (error) {
      if (signal.aborted || resultOf(error) === undefined) throw error
      return unfit('load_failed', messageOf(error))
    }
    return OK
  }
}
