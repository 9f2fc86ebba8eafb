import { type Files, readNumber } from '../files.ts'
import type { Measured, Source } from '../source.ts'

const ZONES = 'sys/class/thermal'
/** A zone whose part is switched off says -256 °C on a Jetson, others say 0 kelvin. */
const CELSIUS = { least: -100, most: 250 } as const

/** A Jetson's power chip says 100 °C whatever it is, and the fan's estimate is the mean of the others. */
const NO_SENSOR = /^(PMIC-Die|thermal-fan-est)$/

/** Thermal zones (kernel: Documentation/driver-api/thermal/sysfs-api), the type and the value of each read together. */
export class Thermal implements Source {
  readonly name = 'thermal'
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async read(): Promise<Measured[]> {
    const zones = (await this.#files.list(ZONES)).filter((name) => name.startsWith('thermal_zone'))
    const read = await Promise.all(zones.map((zone) => this.#readZone(zone)))
    const known = read.filter((zone) => zone !== undefined)
    const types = known.map(({ type }) => type)
    return known.map(({ zone, type, celsius }) => {
      // Two of one type are told apart by their numbers.
      const isOnly = types.indexOf(type) === types.lastIndexOf(type)
      const label = isOnly ? type : `${type}-${zone.slice('thermal_zone'.length)}`
      return { name: 'temperature_celsius', labels: { zone: label }, value: celsius }
    })
  }

  async #readZone(zone: string): Promise<{ zone: string; type: string; celsius: number } | undefined> {
    const [type, milli] = await Promise.all([
      this.#files.read(`${ZONES}/${zone}/type`),
      readNumber(this.#files, `${ZONES}/${zone}/temp`),
    ])
    if (type === undefined || milli === undefined || NO_SENSOR.test(type)) return undefined
    const celsius = milli / 1000
    return celsius > CELSIUS.least && celsius < CELSIUS.most ? { zone, type, celsius } : undefined
  }
}
