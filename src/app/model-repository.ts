import { join } from 'node:path'
import { type ModelSettings, parseModelSettings } from '../config/model-settings.ts'
import type { LoadParameters } from '../http/load-parameters.ts'
import type { ModelControl } from '../http/repository.ts'
import type { Ensembles } from '../inference/ensemble/ensembles.ts'
import type { LaneStatus } from '../inference/lane-table.ts'
import type { Lanes } from '../inference/lanes.ts'
import type { LanePlan } from '../inference/open-lane.ts'
import type { SequencePlan } from '../inference/sequences/plan.ts'
import { chooseVersions } from '../inference/versions.ts'
import type { WarmUpSample } from '../inference/warm-up-inputs.ts'
import { assert } from '../kit/assert.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import {
  findModelFile,
  listModels,
  type ModelFolder,
  readModel,
  versionBytes,
} from '../store/model-folder.ts'
import type { SentModels } from '../store/sent-files.ts'
import { type OutputLabels, readLabels } from './label-files.ts'
import { planEnsemble, planLife, planScheduling } from './lane-plan.ts'
import { sessionOptions } from './runtime.ts'
import { planSequences } from './sequence-plan.ts'
import { readWarmUp } from './warm-up-files.ts'

interface RepositoryOptions {
  readonly root: string
  readonly lanes: Lanes
  readonly ensembles: Ensembles
  readonly queueItemsMax: number
  /** What warming up one version may take. */
  readonly warmUpMsMax: number
  /** Also what a request would load is loaded at once. */
  readonly isEager?: boolean
  /** Where what clients send is kept while it is loaded; without it they cannot. */
  readonly sent?: SentModels
}

/** What a folder says of its model, read whole before anything is loaded. */
interface Described {
  readonly settings: ModelSettings
  readonly labels: OutputLabels
  readonly warmUp: readonly WarmUpSample[]
  readonly sequences: SequencePlan | undefined
}

interface FolderLoad {
  /** The repository that the folder is in. */
  readonly root: string
  readonly folder: ModelFolder
  /** Counts instead of what the folder's own config says. */
  readonly instead?: ModelSettings | undefined
  /** What a request would load is left to the first one. */
  readonly isLazy?: boolean
  /** Models that are being loaded, or have been, and need not be again. */
  readonly seen?: Set<string>
}

/** A folder of models, and the lanes that serve what is in it. */
export class ModelRepository implements ModelControl {
  readonly #root: string
  readonly #lanes: Lanes
  readonly #ensembles: Ensembles
  readonly #queueItemsMax: number
  /** The end of the last load of each model that is being loaded. */
  readonly #turns = new Map<string, Promise<void>>()
  readonly #warmUpMsMax: number
  readonly #isEager: boolean
  readonly #sent: SentModels | undefined
  /** Of what serves, or would if it could. */
  readonly #described = new Map<string, Described>()
  /** Names of models that were made of files in a request. */
  readonly #sentNames = new Set<string>()

  constructor(options: RepositoryOptions) {
    this.#root = options.root
    this.#lanes = options.lanes
    this.#ensembles = options.ensembles
    this.#queueItemsMax = options.queueItemsMax
    this.#warmUpMsMax = options.warmUpMsMax
    this.#isEager = options.isEager ?? false
    this.#sent = options.sent
  }

  /** What the model's config says, once it has been read. */
  settings(model: string): ModelSettings | undefined {
    return this.#described.get(model)?.settings
  }

  /** What the classes of an output are called, by index. */
  labels(model: string, output: string): readonly string[] | undefined {
    return this.#described.get(model)?.labels.get(output)
  }

  /** What cannot be loaded stands in the index with its reason. */
  async loadAll(): Promise<void> {
    const seen = new Set<string>()
    for (const folder of await listModels(this.#root)) {
      if (seen.has(folder.name)) continue
      await this.#inTurn(folder.name, async () => {
        // What it led to when all of them were listed may not be what it leads to now.
        const now = (await readModel(this.#root, folder.name)) ?? folder
        await this.#loadFolder({ root: this.#root, folder: now, isLazy: !this.#isEager, seen })
      })
    }
  }

  load(model: string, instead?: LoadParameters): Promise<readonly LaneStatus[]> {
    return this.#inTurn(model, () => this.#load(model, instead))
  }

  /** One at a time: two loads of two versions at once would each let go of what the other has loaded. */
  async #inTurn<T>(model: string, work: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(model) ?? Promise.resolve()).then(work)
    const ended = mine.then(
      () => undefined,
      () => undefined,
    )
    this.#turns.set(model, ended)
    void ended.then(() => this.#turns.get(model) === ended && this.#turns.delete(model))
    return await mine
  }

  async #load(model: string, instead?: LoadParameters): Promise<readonly LaneStatus[]> {
    const settings = instead === undefined ? undefined : readSentConfig(model, instead.config)
    if (instead !== undefined && instead.files.size > 0)
      return await this.#loadSent(model, instead.files, settings)
    const folder = await readModel(this.#root, model)
    if (folder === undefined) {
      throw new EdgeError(
        'input_invalid',
        `failed to load '${model}', there is no folder of that name in "${this.#root}"`,
      )
    }
    const statuses = await this.#loadFolder({ root: this.#root, folder, instead: settings })
    if (statuses.some(isLoaded)) this.#sentNames.delete(model)
    return statuses
  }

  async unload(model: string, { dependents } = { dependents: false }): Promise<void> {
    const versions = this.#lanes.index().filter((status) => status.model === model)
    if (versions.length === 0) {
      throw new EdgeError('input_invalid', `failed to unload '${model}', there is no model of that name`)
    }
    // Asked before it is gone.
    const members = dependents ? this.#ensembles.ownMembers(model) : []
    // As Triton: the answer says that it will be, not that the last request has gone.
    const gone = versions.map(({ version }) => this.#ensembles.unload(model, version))
    if (this.#sentNames.has(model)) void Promise.all(gone).then(() => this.#forgetSent(model))
    for (const member of members) {
      const isKnown = this.#lanes.index().some((status) => status.model === member)
      if (isKnown) await this.unload(member, { dependents })
    }
  }

  async label(model: string, labels: Readonly<Record<string, string | null>>) {
    this.#lanes.moveLabels(model, labels)
    return this.#lanes.labels(model)
  }

  /** Files in a request are a repository of their own, which is there while it is loaded. */
  async #loadSent(
    model: string,
    files: LoadParameters['files'],
    settings: ModelSettings | undefined,
  ): Promise<LaneStatus[]> {
    assert(this.#sent !== undefined, 'clients load models only where files of theirs can be kept')
    // Triton's: only folders that are numbers are versions.
    const all = new Map([['config.pbtxt', new Uint8Array()], ...files])
    return await this.#sent.use(model, all, async (root) => {
      const folder = await readModel(root, model)
      assert(folder !== undefined, `the folder of "${model}" was made`)
      this.#sentNames.add(model)
      const statuses = await this.#loadFolder({ root, folder, instead: settings })
      await this.#forgetSent(model)
      return statuses
    })
  }

  /** Of what only a client brought nothing stays, once it does not serve: names would pile up. */
  async #forgetSent(model: string): Promise<void> {
    const folder = await readModel(this.#root, model).catch(() => undefined)
    if (folder !== undefined) return
    for (const status of this.#lanes.index()) {
      if (status.model === model) this.#ensembles.forget(model, status.version)
    }
    if (this.#lanes.ready(model).length > 0) {
      // Another load may have come in between.
      this.#sentNames.add(model)
      return
    }
    this.#sentNames.delete(model)
    this.#described.delete(model)
  }

  async #loadFolder(load: FolderLoad): Promise<LaneStatus[]> {
    const { root, folder, instead, isLazy, seen = new Set() } = load
    seen.add(folder.name)
    this.#lanes.forget(folder.name, '')
    const described = await describe(root, folder, instead)
    if (typeof described === 'string') return [this.#lanes.note(folder.name, '', described)]
    const { settings } = described
    await this.#loadMembers(settings, seen)
    // A request may come for the first version while the next one is loading.
    if (this.#lanes.ready(folder.name).length === 0) this.#described.set(folder.name, described)
    const there = new Map(folder.versions.map((version) => [version.version, version]))
    const labelled = { ...this.#lanes.labels(folder.name), ...settings.version_labels }
    const chosen = chooseVersions(settings.version_policy, [...there.keys()], Object.values(labelled))
    const replaces = this.#lanes.versions(folder.name).filter((version) => !chosen.includes(version))
    const statuses: LaneStatus[] = []
    for (const version of chosen) {
      const path = there.get(version)?.path ?? ''
      const { ensemble } = settings
      if (ensemble !== undefined) {
        const plan = planEnsemble({ model: folder.name, version }, { ...settings, ensemble })
        statuses.push(await this.#ensembles.load(plan))
        continue
      }
      const file = await findModelFile({ version, path }, settings.model_file)
      if ('problem' in file) {
        statuses.push(this.#lanes.note(folder.name, version, file.problem))
        continue
      }
      const isTransient = root !== this.#root
      const from = { ...file, folder: path, described, isTransient }
      const plan = await this.#planVersion(folder.name, version, from)
      const isKept = isLazy === true && plan.life.isOnDemand
      const swap = { replaces, labels: settings.version_labels }
      statuses.push(isKept ? this.#lanes.know(plan) : await this.#lanes.load(plan, swap))
    }
    if (statuses.some(isLoaded)) this.#described.set(folder.name, described)
    const problem = this.#moveLabels(folder.name, settings)
    // What serves is let go only for something that does.
    const isWhole = problem === undefined && statuses.every(({ state }) => state === 'READY')
    if (isWhole) this.#unloadOthers(folder.name, chosen)
    this.#forgetGone(folder.name, there)
    const labels = problem === undefined ? [] : [this.#lanes.note(folder.name, '', problem)]
    return [...statuses, ...this.#noteMissing(folder.name, settings, there), ...labels]
  }

  /** What an ensemble is made of and is not there yet; of what comes on demand it has to be known what it is like. */
  async #loadMembers({ ensemble }: ModelSettings, seen: Set<string>): Promise<void> {
    for (const { model, version } of ensemble?.steps ?? []) {
      const isTried = seen.has(model) && !this.#lanes.isAwaited(model, version)
      if (isTried || this.#lanes.isReady(model, version)) continue
      const folder = await readModel(this.#root, model)
      if (folder !== undefined) await this.#loadFolder({ root: this.#root, folder, seen })
    }
  }

  async #planVersion(
    model: string,
    version: string,
    from: { path: string; folder: string; described: Described; isTransient: boolean },
  ): Promise<LanePlan> {
    const { settings, warmUp, sequences } = from.described
    const options = sessionOptions(`${model}/${version}`, settings)
    return {
      model,
      version,
      source: { path: from.path },
      // What a client sends is gone with its session: the disk is not for that.
      session: from.isTransient ? { ...options, engineCache: 'off' } : options,
      ...planScheduling(settings, this.#queueItemsMax),
      expected: settings,
      fileBytes: await versionBytes(from.folder),
      sequences,
      life: planLife(settings, from.isTransient),
      warmUp: { samples: warmUp, msMax: this.#warmUpMsMax },
    }
  }

  /** What was served before and is not to be any more, now that the others are. */
  #unloadOthers(model: string, chosen: readonly string[]): void {
    const others = this.#lanes
      .index()
      .filter((status) => status.model === model && !chosen.includes(status.version))
    for (const { version } of others) void this.#ensembles.unload(model, version)
  }

  /** The index need not remember what was wrong with a folder that is not there any more. */
  #forgetGone(model: string, there: ReadonlyMap<string, unknown>): void {
    for (const status of this.#lanes.index()) {
      if (status.model === model && !there.has(status.version)) this.#ensembles.forget(model, status.version)
    }
  }

  #noteMissing(
    model: string,
    { version_policy: policy, version_labels: labels }: ModelSettings,
    there: ReadonlyMap<string, unknown>,
  ): LaneStatus[] {
    const named = new Map(Object.values(labels).map((version) => [version, 'version_labels']))
    for (const version of Array.isArray(policy) ? policy : []) named.set(version, 'version_policy')
    const missing = [...named].filter(([version]) => !there.has(version))
    return missing.map(([version, by]) =>
      this.#lanes.note(
        model,
        version,
        `Cannot serve version ${version}: ${by} names it, there is no such folder`,
      ),
    )
  }

  /** All labels of the config at once, before anything that they pointed at is let go. They stay where one cannot. */
  #moveLabels(model: string, { version_labels: labels }: ModelSettings): string | undefined {
    if (Object.keys(labels).length === 0) return undefined
    try {
      this.#lanes.moveLabels(model, labels)
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }
}

/** Not what serves because loading it again failed. */
function isLoaded({ state, reason }: LaneStatus): boolean {
  return state === 'READY' && reason === ''
}

/** The config in a request: nothing is touched when it is wrong. */
function readSentConfig(model: string, text: string): ModelSettings {
  try {
    return parseModelSettings({ path: `request/${model}/config.json`, text })
  } catch (cause) {
    throw new EdgeError('input_invalid', `failed to load '${model}', ${messageOf(cause)}`, { cause })
  }
}

/** What the folder says, or what is wrong with it. */
async function describe(
  root: string,
  folder: ModelFolder,
  instead: ModelSettings | undefined,
): Promise<Described | string> {
  if (folder.problem !== undefined) return folder.problem
  try {
    const settings = instead ?? parseModelSettings(folder.config)
    const path = join(root, folder.name)
    return {
      settings,
      labels: await readLabels(path, settings),
      warmUp: await readWarmUp(path, settings),
      sequences: await planSequences(path, settings),
    }
  } catch (error) {
    return messageOf(error)
  }
}
