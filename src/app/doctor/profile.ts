import { availableParallelism } from 'node:os'
import type { Config } from '../../config/config.ts'
import type { ProfileChoice } from '../../config/profile-choice.ts'
import { enginePolicy } from '../engines.ts'
import { findProfile } from '../profile.ts'
import { libraryPlaces, memoryBudget, threadsOf } from '../runtime.ts'
import { heatLimits } from '../shed-heat.ts'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'

const GIB = 1024 ** 3
const { ok, note } = checksOf('profile')

interface ProfileFacts {
  readonly choice: ProfileChoice
  readonly config: Config
}

export async function lookAtProfile({ config }: Context): Promise<ProfileFacts> {
  return { choice: await findProfile(config), config }
}

/** The firmware profile: why it is that one, what it sets, and what it only tells. */
export function judgeProfile({ choice, config }: ProfileFacts): Check[] {
  const { profile, score, reason, unknown, generation, facts } = choice
  const scored = score === 0 ? '' : ` (score ${score})`
  const seen = {
    model: facts.model,
    compatible: facts.compatible,
    l4t: facts.l4t ?? null,
    gpus: facts.gpus,
    cpus: facts.cpus,
    architecture: facts.architecture,
  }
  const told = listTold(choice)
  return [
    ok('choice', `${profile.name} (${profile.title}): ${reason}${scored}`, {
      facts: { profile: profile.name, score, reason, board: seen },
    }),
    ...unknown.map((what) =>
      note('unknown', `no profile knows ${what}: it is left to safe defaults`, {
        fix: 'name a profile with profile.name, or write one into profile.folder',
      }),
    ),
    ...(generation === undefined
      ? []
      : [
          ok(
            'jetpack',
            `JetPack ${generation.jetpack}: brings CUDA ${generation.cuda} and TensorRT ${generation.tensorrt}`,
          ),
        ]),
    ok('sets', `sets: ${listSet(choice, config).join('; ')}`),
    ...(told.length === 0 ? [] : [note('tells', `tells, and Limpet does not act on it: ${told.join('; ')}`)]),
  ]
}

function listSet(choice: ProfileChoice, config: Config): string[] {
  const { runtime, memory } = choice.profile
  const wanted = config.runtime.providers ?? runtime.providers
  const budget = memoryBudget(config, choice)
  const places = libraryPlaces(choice)
  const heat = heatLimits(config, choice.profile)
  const engines = enginePolicy({ config, profile: choice })
  const kind = memory.unified ? 'memory, which the GPU shares' : 'memory'
  return [
    `providers ${wanted.map(({ name }) => name).join(', ')}`,
    `${threadsOf(config, choice.profile)} run threads on ${availableParallelism()} cores`,
    budget === 0
      ? `no bound on the ${kind}`
      : `at most ${(budget / GIB).toFixed(1)} GiB of the ${kind}, for all models`,
    ...(heat === undefined ? [] : [`fewer requests from ${heat.shedCelsius} °C`]),
    engines.policy === 'off'
      ? 'nothing made of models is kept'
      : `up to ${(engines.bytesMax / GIB).toFixed(1)} GiB of what is made of models is kept`,
    `hardware ${[...choice.profile.hardware, choice.profile.name].join(', ')}`,
    ...(places.length === 0 ? [] : [`ONNX Runtime is looked for at ${places.join(', ')}`]),
  ]
}

function listTold({ profile }: ProfileChoice): string[] {
  const { power, thermal, sensors, telemetry } = profile
  const say = (words: string, value: unknown) => (value === undefined ? [] : [`${words} ${value}`])
  const list = (words: string, names: readonly string[]) =>
    names.length === 0 ? [] : [`${words} ${names.join(', ')}`]
  const facts = [
    ...say('power mode wanted', power.mode),
    ...say('slows down from °C', thermal.throttle_celsius),
    ...list('thermal zones', sensors.thermal_zones),
    ...list('power rails', sensors.power_rails),
  ]
  return facts.length === 0 ? [] : [...facts, `telemetry every ${telemetry.period_seconds} s`]
}
