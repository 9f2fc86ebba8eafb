import { stat } from 'node:fs/promises'
import { SiteBundle } from '../../bundle/site-bundle.ts'
import type { Config } from '../../config/config.ts'
import { type BoardFacts, readBoard } from '../../health/board.ts'
import { RootFiles } from '../../health/files.ts'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError } from '../../kit/errors.ts'
import { systemRandom } from '../../kit/random.ts'
import type { Parts } from '../../ota/parts.ts'
import type { HostPort } from '../../ota/ports.ts'
import { checkPointers } from '../../ota/start.ts'
import { createSteps } from '../../ota/steps.ts'
import { Turns } from '../../ota/turns.ts'
import { Updates } from '../../ota/updates.ts'
import { TrustClient, type TrustSource } from '../../trust/client.ts'
import { HighWaterTable } from '../../trust/high-water.ts'
import { MetadataFolder } from '../../trust/metadata-files.ts'
import { type RefusalReason, TrustRefusal } from '../../trust/refusal.ts'
import { BUILD } from '../build-info.ts'
import { Assignments } from './assignments.ts'
import { CommandBook } from './command-book.ts'
import type { Control } from './control-socket.ts'
import { DeviceCommands } from './device-commands.ts'
import { type Disk, sweepDisk } from './disk.ts'
import type { Enrolment } from './enrolment.ts'
import type { DeviceFolders } from './folders.ts'
import { keptManifests } from './kept-manifests.ts'
import { openHealth } from './open-health.ts'
import type { OpenLink } from './open-link.ts'
import { createOperations } from './operations.ts'
import { createProbePort } from './probe-port.ts'
import type { ServeClient } from './serve-client.ts'
import { readStatus, type Status } from './status.ts'
import { TufTrust } from './trust-port.ts'
import { readInstalledManifest, VersionsOnDisk } from './versions-on-disk.ts'

export interface AgentParts {
  readonly config: Config
  readonly options: { readonly config: string | undefined; readonly state: string | undefined }
  readonly enrolment: Enrolment
  readonly folders: DeviceFolders
  readonly host: HostPort
  readonly disk: Disk
  readonly line: OpenLink
  readonly serve: ServeClient
  readonly clock: Clock
  readonly firstContactMs: number
  readonly stop: AbortSignal
}

/** At most so often the registry is told anew what the device is like. */
const STATE_MS = 1_000

/** Everything that an agent is, put together. */
export class Agent implements Control {
  readonly #parts: AgentParts
  readonly #metadata: MetadataFolder
  readonly #highWater: HighWaterTable
  readonly #store: VersionsOnDisk
  readonly #updates: Updates
  readonly #assignments: Assignments
  readonly #bundle: SiteBundle
  readonly #health: ReturnType<typeof openHealth>
  #board: BoardFacts | undefined
  #changed = new AbortController()
  #described: object = {}

  constructor(parts: AgentParts) {
    this.#parts = parts
    const { disk, line, clock, serve, folders } = parts
    this.#bundle = new SiteBundle(folders.siteBundle)
    this.#metadata = new MetadataFolder(folders.trust)
    this.#highWater = new HighWaterTable(disk.database)
    const trust = new TufTrust({
      client: this.#createTrust(),
      source: (signal) => this.#bundle.trustSource(sourceOf(line, signal)),
      work: folders.work,
      installed: (sha256) => readInstalledManifest(disk.versions, sha256),
    })
    this.#store = this.#createStore(trust)
    const engine: Parts = {
      clock,
      random: systemRandom,
      journal: disk.journal,
      turns: new Turns(),
      trust,
      store: this.#store,
      host: parts.host,
      probe: createProbePort(parts),
      serve,
      gate: {
        inhibited: () => this.#inhibited(),
        isApproved: (manifest) => disk.journal.note(`approved/${manifest}`) === true,
      },
    }
    this.#updates = new Updates({ ...engine, steps: createSteps(engine), stop: parts.stop })
    this.#assignments = new Assignments({
      device: parts.enrolment.device,
      clock,
      journal: disk.journal,
      updates: this.#updates,
      refresh: (signal) => trust.refresh(signal),
      fetchAssignment: (bytesMax, signal) =>
        this.#bundle.fetchAssignment({ device: parts.enrolment.device, bytesMax }, () =>
          line.link.fetchAssignment(bytesMax, signal).catch(tooLargeAs('assignment_malformed')),
        ),
      onTaken: (rev) => line.link.knowRev(rev),
      everyMs: parts.config.registry.poll_seconds * 1000,
    })
    this.#health = openHealth({
      ...parts,
      expiresMs: () => this.#assignments.view?.expiresMs,
      onAlert: () => this.#changed.abort(),
    })
    line.describe = () => this.#described
    line.live = () => this.#health.monitor.live
    const commands = this.#createCommands()
    line.link.onCommand((arrived) => commands.take(arrived))
    disk.events.onPut = () => this.#changed.abort()
  }

  async run(): Promise<void> {
    const { disk, line, serve, stop } = this.#parts
    line.link.onDesired(() => this.#assignments.wake())
    line.link.onMetadata(() => this.#assignments.wake())
    line.link.knowRev(disk.journal.assignment?.rev ?? 0)
    await this.#metadata.sweep()
    await sweepDisk(disk, await this.#store.pointerNames())
    await this.#store.pointAtBuiltIn()
    this.#described = await this.status()
    const calling = this.#parts.clock.sleep(this.#parts.firstContactMs, stop)
    const listening = calling.then(() => line.link.run(stop))
    await checkPointers({ journal: disk.journal, store: this.#store, serve }, stop)
    const looking = calling.then(() => this.#assignments.run(stop))
    const health = this.#health.monitor.run(stop)
    void this.#readBoard()
    await Promise.all([listening, this.#updates.run(), looking, this.#reportChanges(), health])
    this.#health.close()
    await this.#bundle.close()
  }

  look(): void {
    this.#assignments.wake()
  }

  async status(): Promise<Status> {
    const { disk, line, enrolment, config, host } = this.#parts
    return await readStatus({
      enrolment,
      hardware: host.hardware,
      disk,
      store: this.#store,
      isLinkUp: line.link.isUp,
      advertiseUrl: config.registry.advertise_url,
      view: this.#assignments.view,
      highWater: this.#highWater,
      progress: (model) => this.#updates.progress(model),
      board: this.#board,
      alerts: this.#health.monitor.alerts,
      sourcesSkipped: this.#health.monitor.problems,
      lastInferenceMs: (model) => this.#health.models.lastInferenceMs(model),
      nodes: (model, version) => this.#health.models.nodes(model, version),
    })
  }

  /** What the machine is does not change while it runs: asked once, and told with the next report. */
  async #readBoard(): Promise<void> {
    const files = new RootFiles(this.#parts.config.health.root)
    this.#board = await readBoard({ files, clock: this.#parts.clock })
    this.#changed.abort()
  }

  approve(model: string): void {
    const { journal } = this.#parts.disk
    const update = journal.working().find((each) => each.model === model)
    if (update === undefined)
      throw new EdgeError('input_invalid', `Cannot approve "${model}": no update of it is on its way`)
    journal.setNote(`approved/${update.manifest}`, true)
  }

  /** Nothing of what was held against the versions of the model counts any more. */
  retry(model: string): void {
    const { journal } = this.#parts.disk
    if (!journal.forget(model)) {
      throw new EdgeError('input_invalid', `Cannot retry "${model}": nothing is held against it`)
    }
    this.#updates.wake()
  }

  #createCommands(): DeviceCommands {
    const { disk, line, clock, stop } = this.#parts
    return new DeviceCommands({
      book: new CommandBook({ database: disk.database, clock, report: (event) => line.link.report(event) }),
      operations: createOperations({
        ...this.#parts,
        status: () => this.status(),
        reportState: async () => {
          this.#described = await this.status()
          await line.link.reportState()
        },
      }),
      stop,
    })
  }

  #createTrust(): TrustClient {
    const { clock, enrolment } = this.#parts
    return new TrustClient({
      files: this.#metadata,
      highWater: this.#highWater,
      clock,
      builtMs: BUILD.committedMs,
      enrolledRoot: Buffer.from(JSON.stringify(enrolment.root)),
      makeNonce: () => systemRandom.bytes(16).toHex(),
    })
  }

  #createStore(trust: TufTrust): VersionsOnDisk {
    const { disk, line, folders } = this.#parts
    return new VersionsOnDisk({
      ...disk,
      modelsFolder: folders.models,
      builtInFolder: disk.builtIn,
      source: this.#bundle.chunks(line.link.chunks),
      fetchObject: (sha256, bytesMax, signal) =>
        this.#bundle.fetchObject({ sha256, bytesMax }, () => line.link.fetchObject(sha256, bytesMax, signal)),
      readManifestBytes: (sha256) => trust.bytes(sha256),
      kept: () => keptManifests(disk, this.#store),
    })
  }

  async #inhibited(): Promise<string | undefined> {
    const { inhibitFile } = this.#parts.folders
    return await stat(inhibitFile).then(
      () => `the file "${inhibitFile}" is there`,
      () => undefined,
    )
  }

  /** What the device is like, whenever that has changed. */
  async #reportChanges(): Promise<void> {
    const { clock, line, stop } = this.#parts
    while (!stop.aborted) {
      this.#changed = new AbortController()
      this.#described = await this.status()
      await line.link.reportState().catch(ignoreSilence)
      await clock.sleep(STATE_MS, stop)
      if (!this.#changed.signal.aborted && !stop.aborted)
        await fired(AbortSignal.any([this.#changed.signal, stop]))
    }
  }
}

function sourceOf({ link }: OpenLink, signal: AbortSignal): TrustSource {
  return {
    fetchMetadata: (name, bytesMax) =>
      link.fetchMetadata(name, bytesMax, signal).catch(tooLargeAs('metadata_oversize')),
    fetchObject: (sha256, bytesMax) =>
      link.fetchObject(sha256, bytesMax, signal).catch(tooLargeAs('object_tampered')),
    // Where there is no line to ask it over, the time is as unknown as before.
    fetchTime: (nonce) => link.fetchTime(nonce, signal).catch(ignoreSilence),
  }
}

/** Somebody gives more than the thing that was asked for can have: that is told, like any other lie. */
function tooLargeAs(reason: RefusalReason): (error: unknown) => never {
  return (error) => {
    const isTooLarge = error instanceof EdgeError && error.code === 'body_too_large'
    throw isTooLarge ? new TrustRefusal(reason, error.message, { cause: error }) : error
  }
}

/** The line is down: what was to be said is said when it is up again. */
function ignoreSilence(error: unknown): undefined {
  if (error instanceof EdgeError && error.code === 'peer_failed') return undefined
  throw error
}

function fired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
