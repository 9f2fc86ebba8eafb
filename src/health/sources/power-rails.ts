import { type Files, readNumber } from '../files.ts'
import type { Measured, Source } from '../source.ts'

const DEVICES = 'sys/bus/i2c/devices'
/** INA3221 has three; its seventh "voltage" is the sum of the others. */
const CHANNELS = [1, 2, 3] as const
const NOT_CONNECTED = 'NC'
/** These carry the whole board, and must not be added to the rest. */
const WHOLE_BOARD: ReadonlySet<string> = new Set(['VDD_IN', 'POM_5V_IN'])

interface Rail {
  readonly rail: string
  readonly watts: number
  readonly isAlarmed: boolean | undefined
}

/** Power monitors INA3221 of Jetson boards: hwmon from JetPack 5 on, iio before. */
export class PowerRails implements Source {
  readonly name = 'power_rails'
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async read(): Promise<Measured[]> {
    const devices = await this.#files.list(DEVICES)
    const rails = (
      await Promise.all(devices.map((device) => this.#readDevice(`${DEVICES}/${device}`)))
    ).flat()
    if (rails.length === 0) return []
    const whole = rails.find(({ rail }) => WHOLE_BOARD.has(rail))
    const total = whole?.watts ?? rails.reduce((sum, { watts }) => sum + watts, 0)
    return [
      ...rails.map(({ rail, watts }) => ({ name: 'power_watts', labels: { rail }, value: watts })),
      { name: 'power_total_watts', value: total },
      ...rails
        .filter(({ isAlarmed }) => isAlarmed !== undefined)
        .map(({ rail, isAlarmed }) => ({
          name: 'throttled',
          labels: { by: `over-current ${rail}` },
          value: isAlarmed === true ? 1 : 0,
        })),
    ]
  }

  async #readDevice(path: string): Promise<Rail[]> {
    const names = await this.#files.list(path)
    const folders = names.includes('hwmon') ? await this.#files.list(`${path}/hwmon`) : []
    const hwmon = folders.map((name) => this.#readHwmon(`${path}/hwmon/${name}`))
    const iio = names
      .filter((name) => name.startsWith('iio:device'))
      .map((name) => this.#readIio(`${path}/${name}`))
    return (await Promise.all([...hwmon, ...iio])).flat()
  }

  /** Kernel: Documentation/hwmon/ina3221. Millivolts and milliamperes; a channel that is cut off has no values. */
  async #readHwmon(path: string): Promise<Rail[]> {
    if ((await this.#files.read(`${path}/name`)) !== 'ina3221') return []
    const rails = await Promise.all(
      CHANNELS.map(async (channel): Promise<Rail | undefined> => {
        const [rail, millivolts, milliamperes, critical, most] = await Promise.all([
          this.#files.read(`${path}/in${channel}_label`),
          readNumber(this.#files, `${path}/in${channel}_input`),
          readNumber(this.#files, `${path}/curr${channel}_input`),
          readNumber(this.#files, `${path}/curr${channel}_crit_alarm`),
          readNumber(this.#files, `${path}/curr${channel}_max_alarm`),
        ])
        if (rail === undefined || rail === NOT_CONNECTED) return undefined
        if (millivolts === undefined || milliamperes === undefined) return undefined
        const alarms = [critical, most].filter((alarm) => alarm !== undefined)
        return {
          rail,
          watts: (millivolts * milliamperes) / 1e6,
          isAlarmed: alarms.length === 0 ? undefined : alarms.some((alarm) => alarm > 0),
        }
      }),
    )
    return rails.filter((rail) => rail !== undefined)
  }

  /** NVIDIA's kernel 4.9: `rail_name_0` to `_2`, and milliwatts beside them. */
  async #readIio(path: string): Promise<Rail[]> {
    const rails = await Promise.all(
      CHANNELS.map(async (channel): Promise<Rail | undefined> => {
        const [rail, milliwatts] = await Promise.all([
          this.#files.read(`${path}/rail_name_${channel - 1}`),
          readNumber(this.#files, `${path}/in_power${channel - 1}_input`),
        ])
        if (rail === undefined || rail === NOT_CONNECTED || milliwatts === undefined) return undefined
        return { rail, watts: milliwatts / 1000, isAlarmed: undefined }
      }),
    )
    return rails.filter((rail) => rail !== undefined)
  }
}
