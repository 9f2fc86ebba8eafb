import type { Config } from '../config/config.ts'
import type { Profile } from '../config/profile.ts'
import { RootFiles } from '../health/files.ts'
import { type HeatLimits, nextShare } from '../health/shedding.ts'
import type { Measured } from '../health/source.ts'
import { Thermal } from '../health/sources/thermal.ts'
import type { Engine } from '../inference/engine.ts'
import type { Clock } from '../kit/clock.ts'
import { logger } from '../kit/log.ts'

/** So far above the temperature at which load is shed is where a board throttles that does not say it. */
const THROTTLE_MARGIN_CELSIUS = 5
/** A driver that hangs costs one look; until it answers there is no temperature. */
const PATIENCE_MS = 2000

/** The config's, else the profile's; undefined: nothing is shed. */
export function heatLimits(
  { thermal }: Pick<Config, 'thermal'>,
  profile: Pick<Profile, 'thermal'>,
): HeatLimits | undefined {
  const shedCelsius = thermal.shed_celsius ?? profile.thermal.shed_celsius
  if (shedCelsius === undefined || shedCelsius === 0) return undefined
  const said = profile.thermal.throttle_celsius ?? 0
  return {
    shedCelsius,
    throttleCelsius: said > shedCelsius ? said : shedCelsius + THROTTLE_MARGIN_CELSIUS,
  }
}

/** Looks at the board's sensors again and again, and lets in less while they are hot. Ends with `stop`. */
export async function shedHeat(parts: {
  readonly config: Config
  readonly profile: Profile
  readonly engine: Pick<Engine, 'admit'>
  readonly clock: Clock
  readonly stop: AbortSignal
}): Promise<void> {
  const { config, profile, engine, clock, stop } = parts
  const limits = heatLimits(config, profile)
  if (limits === undefined) return
  const thermal = new Thermal(new RootFiles(config.health.root))
  let share = 1
  while (!stop.aborted) {
    const reading = thermal.read()
    const measured = await Promise.race([reading, clock.sleep(PATIENCE_MS, stop).then(() => [])])
    const celsius = hottest(measured, profile.sensors.thermal_zones)
    const next = nextShare(share, celsius, limits)
    engine.admit(next)
    tell({ share, next, celsius, limits })
    share = next
    await reading
    await clock.sleep(config.thermal.look_seconds * 1000, stop)
  }
}

/** Of the zones that the profile names, else of all; a second zone of one name has its number behind it. */
export function hottest(measured: readonly Measured[], zones: readonly string[]): number | undefined {
  const isMeant = (zone: string) =>
    zones.length === 0 || zones.some((name) => zone === name || zone.startsWith(`${name}-`))
  const values = measured.filter(({ labels }) => isMeant(labels?.['zone'] ?? '')).map(({ value }) => value)
  return values.length === 0 ? undefined : Math.max(...values)
}

/** When it begins and when it is over; what lies between is in the metrics. */
function tell(looked: {
  share: number
  next: number
  celsius: number | undefined
  limits: HeatLimits
}): void {
  const { share, next, celsius, limits } = looked
  if (share === 1 && next < 1)
    logger('app').warn('app.load_shed', { celsius, shed_celsius: limits.shedCelsius, share: next })
  if (share < 1 && next === 1) logger('app').info('app.load_shed_over', { celsius })
}
