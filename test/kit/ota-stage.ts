import { type Database, openDatabase } from '../../src/kit/database.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { completeAssigned } from '../../src/ota/assigned.ts'
import { Journal } from '../../src/ota/journal.ts'
import { type Outcome, WORKING, type Working } from '../../src/ota/machine.ts'
import type { Parts } from '../../src/ota/parts.ts'
import type {
  GatePort,
  HostPort,
  InstalledAt,
  Measured,
  Package,
  ProbePort,
  ProbeRequest,
  ProbeVerdict,
  Replayed,
  ServePort,
  StorePort,
  TrustPort,
} from '../../src/ota/ports.ts'
import { OK, type Step, type StepResult, type Steps } from '../../src/ota/step.ts'
import { Turns } from '../../src/ota/turns.ts'
import type { Assigned, Installed, UpdateEvent } from '../../src/ota/update.ts'
import type { ListedManifest, Manifest } from '../../src/trust/manifest.ts'
import { FlowingClock } from './flowing-clock.ts'

// Thousands of updates: what they log is told by their events.
setLogLevel('silent')

export function memoryDatabase(): Database {
  return openDatabase(':memory:')
}

export class Outbox {
  readonly events: UpdateEvent[] = []

  put(event: object): void {
    this.events.push(event as UpdateEvent)
  }

  /** The states that were told of, in order: "resolve plan download". */
  get told(): UpdateEvent['to'][] {
    return this.events.map(({ to }) => to)
  }
}

/** A manifest's hash that says what it is of. */
export function hashOf(version: string): string {
  return Buffer.from(version).toString('hex').padEnd(64, '0')
}

export function assigned(version = '2', options: Partial<Assigned> = {}): Assigned {
  const model = options.model ?? 'vision/yolo'
  const complete = completeAssigned(
    {
      model,
      version,
      manifest: hashOf(`${model}@${version}`),
      release: Number(version),
      allow_downgrade: false,
      policy: { observe_seconds: 10, requests_min: 5 },
    },
    1,
  )
  return { ...complete, ...options }
}

export function installed(version: string, model = 'vision/yolo'): InstalledAt {
  return { model, version, release: Number(version), manifest: hashOf(`${model}@${version}`) }
}

/** How each state's next visits end; what is not said goes well. A string is thrown as a power cut. */
export type Script = Partial<Record<Working, (Outcome | 'power cut')[]>>

export class PowerCut extends Error {
  override readonly name = 'PowerCut'
}

export function scriptedSteps(script: Script = {}): { steps: Steps; ran: Working[] } {
  const left = new Map(WORKING.map((state) => [state, [...(script[state] ?? [])]]))
  const ran: Working[] = []
  const step =
    (state: Working): Step =>
    async () => {
      ran.push(state)
      const next = left.get(state)?.shift() ?? 'ok'
      if (next === 'power cut') throw new PowerCut(state)
      return resultFor(next)
    }
  const steps = Object.fromEntries(WORKING.map((state) => [state, step(state)])) as Record<Working, Step>
  return { steps, ran }
}

function resultFor(outcome: Outcome): StepResult {
  return outcome === 'ok' ? OK : { outcome, code: `test_${outcome}`, reason: 'said by the test' }
}

/** What the world is like, and what it does when it is asked. Every part of it may be changed by a test. */
export class World {
  readonly clock = new FlowingClock()
  readonly outbox = new Outbox()
  readonly database = memoryDatabase()
  journal = this.createJournal()
  readonly trust = new FakeTrust()
  readonly store = new FakeStore()
  readonly serve = new FakeServe(this.store)
  readonly probe = new FakeProbe()
  readonly host = new FakeHost()
  readonly gate = new FakeGate()

  createJournal(): Journal {
    return new Journal({ database: this.database, clock: this.clock, outbox: this.outbox })
  }

  /** Of a process of its own: what it only remembered is not there. */
  parts(): Parts {
    this.journal = this.createJournal()
    return {
      clock: this.clock,
      random: { fraction: () => 0.5, bytes: (count) => new Uint8Array(count) },
      journal: this.journal,
      turns: new Turns(),
      trust: this.trust,
      store: this.store,
      host: this.host,
      probe: this.probe,
      serve: this.serve,
      gate: this.gate,
    }
  }
}

class FakeTrust implements TrustPort {
  readonly kept = new Map<string, Manifest>()
  /** Thrown by the next refreshes. */
  refusals: Error[] = []
  floor = 0
  golden: Manifest['golden'] = { path: 'golden', atol_e6: 1, rtol_e6: 1 }
  hardware = ['any']
  memoryMb = 0

  refresh() {
    const refusal = this.refusals.shift()
    if (refusal !== undefined) return Promise.reject(refusal)
    return Promise.resolve({
      facts: (model: string, version: string) =>
        Promise.resolve({ floor: this.floor, listed: this.#list(model, version) }),
    })
  }

  fetchManifest(listed: ListedManifest): Promise<Manifest> {
    const { model, version, release, sha256 } = listed
    const manifest: Manifest = {
      format: 1,
      model,
      version,
      release,
      variants: [
        {
          name: 'fp32',
          hardware: this.hardware,
          providers: ['cpu'],
          needs: { memory_mb: this.memoryMb, disk_mb: 0 },
          files: [{ path: `${version}/model.onnx`, bytes: 1000, sha256, chunk_index: sha256 }],
        },
      ],
      signature: { inputs: [], outputs: [] },
      golden: this.golden,
    }
    this.kept.set(sha256, manifest)
    return Promise.resolve(manifest)
  }

  keptManifest(sha256: string): Promise<Manifest | undefined> {
    return Promise.resolve(this.kept.get(sha256))
  }

  #list(model: string, version: string): ListedManifest {
    return { model, version, release: Number(version), sha256: hashOf(`${model}@${version}`), bytes: 100 }
  }
}

class FakeStore implements StorePort {
  readonly pointers = new Map<string, Installed>()
  readonly installed = new Set<string>()
  readonly broken = new Set<string>()
  readonly discarded: string[] = []
  free = 1_000_000
  /** What the next hashing finds. */
  wrong: string[][] = []
  fetchErrors: Error[] = []
  came: Installed | undefined
  readonly fetched = new Set<string>()

  models() {
    return Promise.resolve([...this.pointers.keys()])
  }
  current(model: string) {
    return Promise.resolve(this.pointers.get(model))
  }
  isInstalled({ manifest }: InstalledAt) {
    return Promise.resolve(this.installed.has(manifest))
  }
  space({ variant }: Package) {
    return Promise.resolve({ neededBytes: variant.files[0]?.bytes ?? 0, freeBytes: this.free })
  }
  makeRoom() {
    return Promise.resolve(this.free)
  }
  fetch(of: Package, progress: (doneBytes: number) => void) {
    const error = this.fetchErrors.shift()
    if (error !== undefined) return Promise.reject(error)
    progress(1000)
    this.fetched.add(of.manifest)
    return Promise.resolve()
  }
  verify(of: Package) {
    if (!this.fetched.has(of.manifest)) return Promise.resolve(['all of it'])
    return Promise.resolve(this.wrong.shift() ?? [])
  }
  install({ manifest }: Package) {
    this.installed.add(manifest)
    return Promise.resolve()
  }
  folder({ manifest }: InstalledAt) {
    return manifest
  }
  point({ model, version, release, manifest }: InstalledAt) {
    if (!this.installed.has(manifest))
      return Promise.reject(new Error(`pointed at ${version}, which is not there`))
    this.pointers.set(model, { version, release, manifest })
    return Promise.resolve()
  }
  unpoint(model: string) {
    this.pointers.delete(model)
    return Promise.resolve()
  }
  isWhole({ manifest }: InstalledAt) {
    return Promise.resolve(this.installed.has(manifest) && !this.broken.has(manifest))
  }
  remove({ manifest }: InstalledAt) {
    this.installed.delete(manifest)
    this.broken.delete(manifest)
    return Promise.resolve()
  }
  earlier() {
    return Promise.resolve(this.came === undefined ? [] : [this.came])
  }
  discard(manifest: string) {
    this.discarded.push(manifest)
    return Promise.resolve()
  }

  /** As if an earlier update had brought it. */
  put(version: InstalledAt): void {
    this.installed.add(version.manifest)
    this.pointers.set(version.model, version)
  }
}

/** Loads what the pointer says, as the data plane does. */
class FakeServe implements ServePort {
  readonly #store: FakeStore
  isUp = true
  start = '1'
  /** Versions that it cannot load. */
  readonly unloadable = new Set<string>()
  serving = new Map<string, string>()
  /** What each look at a version finds; the last one stays. Steady traffic where the test says nothing. */
  looks: Measured[] = []
  replays: Replayed[] = []
  #requests = 0

  constructor(store: FakeStore) {
    this.#store = store
  }

  isAlive() {
    return Promise.resolve(this.isUp)
  }
  load(name: string, version: string) {
    if (!this.isUp) return Promise.reject(new EdgeError('peer_failed', 'serve does not answer'))
    const pointer = [...this.#store.pointers].find(([model]) => model.endsWith(`/${name}`))?.[1]
    if (pointer?.version !== version)
      return Promise.reject(new EdgeError('peer_failed', `the folder holds ${pointer?.version}`))
    if (this.unloadable.has(version))
      return Promise.reject(new EdgeError('model_invalid', `cannot load ${version}`))
    this.serving.set(name, version)
    return Promise.resolve()
  }
  unload(name: string) {
    this.serving.delete(name)
    return Promise.resolve()
  }
  measure(name: string, version: string): Promise<Measured | undefined> {
    if (!this.isUp || this.serving.get(name) !== version) return Promise.resolve(undefined)
    this.#requests += 1
    const look = this.looks.length > 1 ? this.looks.shift() : this.looks[0]
    return Promise.resolve(look ?? measured({ start: this.start, requests: this.#requests }))
  }
  replay(): Promise<Replayed> {
    return Promise.resolve(this.replays.shift() ?? { samples: 2, wrong: 0, reason: '' })
  }
}

export function measured(of: Partial<Measured> = {}): Measured {
  return { start: '1', requests: 0, errors: 0, notFinite: 0, latency: [], ...of }
}

class FakeProbe implements ProbePort {
  readonly asked: ProbeRequest[] = []
  verdicts: ProbeVerdict[] = []

  run(request: ProbeRequest): Promise<ProbeVerdict> {
    this.asked.push(request)
    return Promise.resolve(this.verdicts.shift() ?? { isFit: true, typicalMs: 5 })
  }
}

class FakeHost implements HostPort {
  readonly hardware = { names: ['x64'], providers: ['cpu'] }
  free = 8 * 1024 ** 3
  freeMemoryBytes() {
    return Promise.resolve(this.free)
  }
}

class FakeGate implements GatePort {
  inhibition: string | undefined
  readonly approved = new Set<string>()
  inhibited() {
    return Promise.resolve(this.inhibition)
  }
  isApproved(manifest: string) {
    return this.approved.has(manifest)
  }
}
