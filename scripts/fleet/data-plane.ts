/** The disk and the data plane of a simulated device: they do at once what real ones take their time for, and fail where they are told to. */
import type {
  InstalledAt,
  Measured,
  Package,
  ProbePort,
  ProbeRequest,
  ProbeVerdict,
  Replayed,
  ServePort,
  StorePort,
} from '../../src/ota/ports.ts'
import type { Installed } from '../../src/ota/update.ts'

/** How a version turns out on this device. */
export type Fate = 'good' | 'fails_in_probe' | 'fails_on_trial'

export class ScriptedStore implements StorePort {
  readonly #pointers = new Map<string, Installed>()
  readonly #earlier = new Map<string, Installed[]>()
  readonly #fetched = new Set<string>()
  readonly #installed = new Set<string>()
  /** Every version that the device has served, in order: "model@version". */
  readonly served: string[] = []

  models() {
    return Promise.resolve([...this.#pointers.keys()])
  }
  current(model: string) {
    return Promise.resolve(this.#pointers.get(model))
  }
  isInstalled({ manifest }: InstalledAt) {
    return Promise.resolve(this.#installed.has(manifest))
  }
  space() {
    return Promise.resolve({ neededBytes: 0, freeBytes: 2 ** 40 })
  }
  makeRoom() {
    return Promise.resolve(2 ** 40)
  }
  fetch({ manifest, variant }: Package, progress: (doneBytes: number) => void) {
    this.#fetched.add(manifest)
    progress(variant.files.reduce((sum, { bytes }) => sum + bytes, 0))
    return Promise.resolve()
  }
  verify({ manifest }: Package) {
    return Promise.resolve(this.#fetched.has(manifest) ? [] : ['nothing was fetched'])
  }
  install({ manifest }: Package) {
    this.#installed.add(manifest)
    return Promise.resolve()
  }
  /** What the probe is asked to look at. */
  folder({ model, version }: InstalledAt) {
    return `${model}@${version}`
  }
  point({ model, version, release, manifest }: InstalledAt) {
    if (!this.#installed.has(manifest)) return Promise.reject(new Error(`${version} is not installed`))
    const before = this.#pointers.get(model)
    if (before !== undefined) this.#earlier.set(model, [before, ...(this.#earlier.get(model) ?? [])])
    this.#pointers.set(model, { version, release, manifest })
    this.served.push(`${model}@${version}`)
    return Promise.resolve()
  }
  unpoint(model: string) {
    this.#pointers.delete(model)
    return Promise.resolve()
  }
  isWhole({ manifest }: InstalledAt) {
    return Promise.resolve(this.#installed.has(manifest))
  }
  remove({ manifest }: InstalledAt) {
    this.#installed.delete(manifest)
    return Promise.resolve()
  }
  earlier(model: string) {
    return Promise.resolve(this.#earlier.get(model) ?? [])
  }
  discard() {
    return Promise.resolve()
  }

  running(model: string): string | undefined {
    return this.#pointers.get(model)?.version
  }
}

export class ScriptedProbe implements ProbePort {
  readonly #fateOf: (version: string) => Fate

  constructor(fateOf: (version: string) => Fate) {
    this.#fateOf = fateOf
  }

  run({ folder }: ProbeRequest): Promise<ProbeVerdict> {
    if (this.#fateOf(versionIn(folder)) !== 'fails_in_probe')
      return Promise.resolve({ isFit: true, typicalMs: 5 })
    return Promise.resolve({ isFit: false, code: 'golden_failed', reason: 'said by the script' })
  }
}

/** Answers a request at each look; a version that fails on trial answers none of them well. */
export class ScriptedServe implements ServePort {
  readonly #fateOf: (version: string) => Fate
  readonly #serving = new Map<string, { version: string; looks: number }>()

  constructor(fateOf: (version: string) => Fate) {
    this.#fateOf = fateOf
  }

  isAlive() {
    return Promise.resolve(true)
  }
  load(name: string, version: string) {
    this.#serving.set(name, { version, looks: 0 })
    return Promise.resolve()
  }
  unload(name: string) {
    this.#serving.delete(name)
    return Promise.resolve()
  }
  measure(name: string, version: string): Promise<Measured | undefined> {
    const serving = this.#serving.get(name)
    if (serving?.version !== version) return Promise.resolve(undefined)
    serving.looks += 1
    const requests = 10 * serving.looks
    const errors = this.#fateOf(version) === 'fails_on_trial' ? requests : 0
    return Promise.resolve({
      start: '1',
      requests,
      errors,
      notFinite: 0,
      latency: [{ upToMs: 10, count: requests }],
    })
  }
  replay(): Promise<Replayed> {
    return Promise.resolve({ samples: 2, wrong: 0, reason: '' })
  }
}

function versionIn(folder: string): string {
  return folder.slice(folder.lastIndexOf('@') + 1)
}
