import type { Clock } from '../../kit/clock.ts'
import type { Files } from '../files.ts'
import type { Measured, RunCommand, Source } from '../source.ts'

const DISKS = 'sys/block'
/** Flash wears over months. */
const EVERY_MS = 3_600_000

/** How much of a disk's life is used up: eMMC says it itself, NVMe is asked by `nvme`, where that is there and may. */
export class DiskWear implements Source {
  readonly name = 'disk_wear'
  readonly #files: Files
  readonly #run: RunCommand
  readonly #clock: Clock
  #last: { readonly atMs: number; readonly measured: readonly Measured[] } | undefined

  constructor({ files, run, clock }: { files: Files; run: RunCommand; clock: Clock }) {
    this.#files = files
    this.#run = run
    this.#clock = clock
  }

  async read(): Promise<readonly Measured[]> {
    const atMs = this.#clock.elapsed()
    if (this.#last !== undefined && atMs - this.#last.atMs < EVERY_MS) return this.#last.measured
    const disks = (await this.#files.list(DISKS)).filter((disk) => /^(mmcblk\d+|nvme\d+n\d+)$/.test(disk))
    const percents = await Promise.all(
      disks.map((disk) => (disk.startsWith('mmcblk') ? this.#readEmmc(disk) : this.#readNvme(disk))),
    )
    const measured = disks.flatMap((disk, index) => {
      const value = percents[index]
      return value === undefined ? [] : [{ name: 'disk_wear_percent', labels: { disk }, value }]
    })
    this.#last = { atMs, measured }
    return measured
  }

  /** JESD84-B51, DEVICE_LIFE_TIME_EST: 0x01 is up to 10 % used, 0x0a up to 100 %, 0x0b more; 0 is not said. */
  async #readEmmc(disk: string): Promise<number | undefined> {
    const text = await this.#files.read(`${DISKS}/${disk}/device/life_time`)
    const tenths = Math.max(0, ...(text ?? '').split(/\s+/).map(Number).filter(Number.isFinite))
    return tenths === 0 ? undefined : 10 * tenths
  }

  /** NVM Express base specification, SMART log: Percentage Used may pass 100. */
  async #readNvme(disk: string): Promise<number | undefined> {
    const text = await this.#run(['nvme', 'smart-log', `/dev/${disk}`, '--output-format=json'])
    const [, percent] = /"percent(?:age)?_used"\s*:\s*(\d+)/.exec(text ?? '') ?? []
    return percent === undefined ? undefined : Number(percent)
  }
}
