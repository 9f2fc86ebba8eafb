import type { Config } from '../../config/config.ts'
import type { ModelSettings } from '../../config/model-settings.ts'
import { describeSpec } from '../../inference/check.ts'
import { Ensembles } from '../../inference/ensemble/ensembles.ts'
import type { Lane } from '../../inference/lane.ts'
import { Lanes } from '../../inference/lanes.ts'
import { systemClock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import { describePlacement, idleProviders } from '../../runtime/idle-providers.ts'
import type { OrtBackend } from '../../runtime/ort-backend.ts'
import { ModelRepository } from '../model-repository.ts'
import { type Check, checksOf } from './check.ts'
import { describeLatency, measureLatency } from './latency.ts'

const { ok, note, fault } = checksOf('models')

const UNPLACED = 'not known: ONNX Runtime tells which provider has which nodes from 1.24 on'

/** What the model wishes and the device does not give it. */
const UNCACHED =
  'response_cache is true, but the device keeps no answers: set inference.cache_bytes_max above 0'

interface From {
  readonly config: Config
  readonly backend: OrtBackend
  readonly say: (checks: readonly Check[]) => void
}

/** Loads each model of a folder, and goes on after those that do not load. */
export async function examineModels(root: string, { config, backend, say }: From): Promise<void> {
  const warmUpMsMax = config.models.warmup_seconds_max * 1000
  const lanes = new Lanes({ backend, clock: systemClock, runsMax: 1 })
  const ensembles = new Ensembles({ lanes, clock: systemClock })
  const more = { queueItemsMax: 1, warmUpMsMax, isEager: true }
  const repository = new ModelRepository({ root, lanes, ensembles, ...more })
  try {
    await repository.loadAll()
  } catch (error) {
    say([fault('folder', messageOf(error), { facts: { folder: root } })])
    return
  }
  const index = lanes.index()
  if (index.length === 0) say([fault('empty', `"${root}" holds no model, expected NAME/VERSION/model.onnx`)])
  for (const status of index) {
    say(describeModel(status, { lanes, config, settings: (model) => repository.settings(model) }))
    if (status.state === 'READY') say([await judgeLatency(lanes.find(status.model, status.version))])
  }
  await lanes.close()
}

function describeModel(
  { model, version, state, reason }: ReturnType<Lanes['index']>[number],
  from: { lanes: Lanes; config: Config; settings: (model: string) => ModelSettings | undefined },
): Check[] {
  const facts = { model, version, state }
  const name = version === '' ? model : `${model} ${version}`
  if (state !== 'READY') return [fault('not_ready', `${name}: ${reason}`, { facts })]
  const { session, memory } = from.lanes.find(model, version)
  const { signature, refusals, placement } = session
  const specs = (list: typeof signature.inputs) =>
    list.map((spec) => `${spec.name} ${describeSpec(spec)}`).join(', ')
  const settings = from.settings(model)
  const isUncached = settings?.response_cache === true && from.config.inference.cache_bytes_max === 0
  const on = session.providers.join(', ')
  return [
    ok('signature', `${name}: ${specs(signature.inputs)} → ${specs(signature.outputs)}`, { facts }),
    ok('loads', `${name}: ${describeLife(memory.bytes, settings)}, on ${on}`, {
      facts: { ...facts, memory_bytes: memory.bytes, providers: session.providers },
    }),
    placement === undefined
      ? note('placement', `${name}: placement: ${UNPLACED}`, { facts })
      : ok('placement', `${name}: placement: ${describePlacement(placement)}`, {
          facts: { ...facts, placement },
        }),
    ...idleProviders(session).map((provider) =>
      note('idle', `${name}: ${provider} took it and runs none of its nodes`, {
        facts: { ...facts, provider },
      }),
    ),
    ...refusals.map(({ provider, reason: why, hasFailed = false }) =>
      note(
        'refused',
        `${name}: does not run on ${provider}, which ${hasFailed ? 'failed' : 'refused it'}: ${why}`,
        {
          facts: { ...facts, provider },
        },
      ),
    ),
    ...(isUncached ? [note('uncached', `${name}: ${UNCACHED}`, { facts })] : []),
  ]
}

async function judgeLatency(lane: Lane): Promise<Check> {
  const { model, version } = lane
  const latency = await measureLatency(lane, systemClock)
  const facts =
    'problem' in latency
      ? { model, version }
      : { model, version, runs: latency.runs, median_ms: latency.medianMs }
  const make = 'problem' in latency ? note : ok
  return make('latency', `${model} ${version}: ${describeLatency(latency)}`, { facts })
}

/** What it takes, and how it comes and goes. */
function describeLife(bytes: number, settings: ModelSettings | undefined): string {
  const { swap = 'auto', pinned = false, on_demand = false } = settings ?? {}
  const words = [`${(bytes / 1e6).toFixed(1)} MB`, `swap ${swap}`]
  return [...words, ...(pinned ? ['pinned'] : []), ...(on_demand ? ['on demand'] : [])].join(', ')
}
