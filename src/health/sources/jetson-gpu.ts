import { type Files, readNumber } from '../files.ts'
import type { Measured, Source } from '../source.ts'

const DEVFREQ = 'sys/class/devfreq'
/** What the device tree calls the GPU inside a Jetson's chip, by its generation. */
const TREE_NAMES: ReadonlySet<string> = new Set(['gv11b', 'gp10b', 'gm20b', 'ga10b', 'gb10b', 'gpu'])
/** On a Thor the GPU's clocks stand by names of their own, and its load is NVML's to tell. */
const OWN_NAMES: ReadonlySet<string> = new Set(['gpu-gpc-0', 'gpu-nvd-0'])

/** The GPU inside a Jetson's chip, by the kernel's devfreq: NVML does not know it, or gives figures that mean nothing. */
export class JetsonGpu implements Source {
  readonly name = 'jetson_gpu'
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async read(): Promise<Measured[]> {
    const names = await this.#files.list(DEVFREQ)
    return (await Promise.all(names.map((name) => this.#readDevice(name)))).flat()
  }

  async #readDevice(name: string): Promise<Measured[]> {
    const path = `${DEVFREQ}/${name}`
    const treeName = (await this.#files.read(`${path}/device/of_node/name`)) ?? ''
    if (!TREE_NAMES.has(treeName) && !OWN_NAMES.has(name)) return []
    const [load, current, most] = await Promise.all([
      readNumber(this.#files, `${path}/device/load`),
      readNumber(this.#files, `${path}/cur_freq`),
      readNumber(this.#files, `${path}/max_freq`),
    ])
    const labels = { gpu: OWN_NAMES.has(name) ? name : treeName }
    const found: [string, number | undefined][] = [
      // A thousandth of the time is its unit.
      ['gpu_load_percent', load === undefined ? undefined : load / 10],
      ['gpu_frequency_hertz', current],
      ['gpu_frequency_max_hertz', most],
    ]
    return found.flatMap(([measured, value]) =>
      value === undefined ? [] : [{ name: measured, labels, value }],
    )
  }
}
