import { type Files, readNumber } from '../files.ts'
import type { Measured, Source } from '../source.ts'

const DEVICES = 'sys/class/thermal'
/** They cool by working harder, or are not about heat: none of them makes the board slower. */
const HARMLESS = /fan|powerclamp|tcc|alert.*hot|hot-surface|display|lcd/i

/** What the kernel does against heat: whatever is turned down makes the board slower. */
export class Cooling implements Source {
  readonly name = 'cooling'
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async read(): Promise<Measured[]> {
    const names = (await this.#files.list(DEVICES)).filter((name) => name.startsWith('cooling_device'))
    const states = new Map<string, number>()
    for (const device of await Promise.all(names.map((name) => this.#readDevice(name)))) {
      // Each core of a processor is one of its own: the one that is turned down most speaks for all.
      if (device !== undefined) states.set(device.type, Math.max(device.state, states.get(device.type) ?? 0))
    }
    return [...states].flatMap(([type, state]) => [
      { name: 'cooling_state', labels: { device: type }, value: state },
      ...(HARMLESS.test(type) ? [] : [{ name: 'throttled', labels: { by: type }, value: state > 0 ? 1 : 0 }]),
    ])
  }

  async #readDevice(name: string): Promise<{ type: string; state: number } | undefined> {
    const [type, state] = await Promise.all([
      this.#files.read(`${DEVICES}/${name}/type`),
      readNumber(this.#files, `${DEVICES}/${name}/cur_state`),
    ])
    if (type === undefined || state === undefined) return undefined
    // "thermal-cpufreq-0", "thermal-cpufreq-1": one for each cluster.
    return { type: type.replace(/-\d+$/, ''), state: Math.max(0, state) }
  }
}
