import { messageOf } from '../../kit/errors.ts'
import { type Check, checksOf, type Topic } from './check.ts'
import type { Context } from './context.ts'

/** One topic: gathers what there is, then judges it. Gathering changes nothing, judging asks nobody. */
export interface Look {
  readonly topic: Topic
  run(context: Context): Promise<readonly Check[]>
}

export function look<Facts>(
  topic: Topic,
  gather: (context: Context) => Facts | Promise<Facts>,
  judge: (facts: Facts) => readonly Check[],
): Look {
  return { topic, run: async (context) => judge(await gather(context)) }
}

/** All at once; one that fails or hangs costs its own topic only. */
export async function runLooks(looks: readonly Look[], context: Context): Promise<Check[]> {
  return (await Promise.all(looks.map((one) => runLook(one, context)))).flat()
}

async function runLook({ topic, run }: Look, context: Context): Promise<readonly Check[]> {
  const { fault, warning } = checksOf(topic)
  const { seconds } = context.options
  const stop = new AbortController()
  const late = context.clock.sleep(1000 * seconds, stop.signal).then(() => {
    stop.signal.throwIfAborted()
    const text = `no answer within ${seconds} s: what is asked there hangs`
    return [
      warning('late', text, { fix: 'on a slow line give it more time: --seconds 60', facts: { seconds } }),
    ]
  })
  late.catch(() => undefined)
  const signal = AbortSignal.any([context.signal, stop.signal])
  const looked = run({ ...context, signal }).catch((error: unknown) => [fault('failed', messageOf(error))])
  try {
    return await Promise.race([looked, late])
  } finally {
    stop.abort()
  }
}
