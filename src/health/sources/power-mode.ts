import type { Files } from '../files.ts'
import type { Measured, RunCommand, Source } from '../source.ts'

/** Written anew by nvpmodel at each change: what it says is asked of nvpmodel only then. */
const STATUS = 'var/lib/nvpmodel/status'
/** `NV Power Mode: MODE_30W` and its number on the next line. */
const ANSWER = /NV Power Mode:\s*(\S+)\s+(\d+)/

/** The power budget that a Jetson is set to. */
export class PowerMode implements Source {
  readonly name = 'power_mode'
  readonly #files: Files
  readonly #run: RunCommand
  #status: string | undefined
  #mode: { readonly mode: string; readonly number: number } | undefined

  constructor({ files, run }: { files: Files; run: RunCommand }) {
    this.#files = files
    this.#run = run
  }

  async read(): Promise<Measured[]> {
    const status = await this.#files.read(STATUS)
    if (status === undefined) return []
    if (status !== this.#status) await this.#ask(status)
    if (this.#mode === undefined) return []
    return [{ name: 'power_mode', labels: { mode: this.#mode.mode }, value: this.#mode.number }]
  }

  async #ask(status: string): Promise<void> {
    const [, mode, number] = ANSWER.exec((await this.#run(['nvpmodel', '-q'])) ?? '') ?? []
    this.#status = status
    this.#mode = mode === undefined ? undefined : { mode, number: Number(number) }
  }
}
