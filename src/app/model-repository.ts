import { join } from 'node:path'
import { type ModelSettings, parseModelSettings } from '../config/model-settings.ts'
import type { ModelControl } from '../http/repository.ts'
import { checkSettings } from '../inference/check-settings.ts'
import type { LaneStatus, Lanes } from '../inference/lanes.ts'
import { chooseVersions } from '../inference/versions.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { findModelFile, listModels, type ModelFolder, readModel } from '../store/model-folder.ts'
import { type OutputLabels, readLabels } from './label-files.ts'
import { planScheduling } from './lane-plan.ts'
import { sessionOptions } from './runtime.ts'

/** A folder of models, and the lanes that serve what is in it. */
export class ModelRepository implements ModelControl {
  readonly #root: string
  readonly #lanes: Lanes
  readonly #queueItemsMax: number
  readonly #settings = new Map<string, ModelSettings>()
  readonly #labels = new Map<string, OutputLabels>()

  constructor(options: { root: string; lanes: Lanes; queueItemsMax: number }) {
    this.#root = options.root
    this.#lanes = options.lanes
    this.#queueItemsMax = options.queueItemsMax
  }

  /** What the model's config says, once it has been read. */
  settings(model: string): ModelSettings | undefined {
    return this.#settings.get(model)
  }

  /** What the classes of an output are called, by index. */
  labels(model: string, output: string): readonly string[] | undefined {
    return this.#labels.get(model)?.get(output)
  }

  /** What cannot be loaded stands in the index with its reason. */
  async loadAll(): Promise<void> {
    for (const folder of await listModels(this.#root)) await this.#loadFolder(folder)
  }

  async load(model: string): Promise<readonly LaneStatus[]> {
    const folder = await readModel(this.#root, model)
    if (folder === undefined) {
      throw new EdgeError(
        'input_invalid',
        `failed to load '${model}', there is no folder of that name in "${this.#root}"`,
      )
    }
    return await this.#loadFolder(folder)
  }

  async unload(model: string): Promise<void> {
    const versions = this.#lanes.index().filter((status) => status.model === model)
    if (versions.length === 0) {
      throw new EdgeError('input_invalid', `failed to unload '${model}', there is no model of that name`)
    }
    // As Triton: the answer says that it will be, not that the last request has gone.
    for (const { version } of versions) void this.#lanes.unload(model, version)
  }

  async #loadFolder(folder: ModelFolder): Promise<LaneStatus[]> {
    this.#lanes.forget(folder.name, '')
    const settings = await this.#readSettings(folder)
    if (typeof settings === 'string') return [this.#lanes.note(folder.name, '', settings)]
    this.#settings.set(folder.name, settings)
    const there = new Map(folder.versions.map((version) => [version.version, version]))
    const chosen = chooseVersions(settings.version_policy, [...there.keys()])
    const statuses: LaneStatus[] = []
    for (const version of chosen) {
      const path = there.get(version)?.path ?? ''
      const file = await findModelFile({ version, path }, settings.model_file)
      if ('path' in file) statuses.push(await this.#loadVersion(folder.name, version, { ...file, settings }))
      else statuses.push(this.#lanes.note(folder.name, version, file.problem))
    }
    // What serves is let go only for something that does.
    if (statuses.every(({ state }) => state === 'READY')) this.#unloadOthers(folder.name, chosen)
    this.#forgetGone(folder.name, there)
    return [...statuses, ...this.#noteMissing(folder.name, settings, there)]
  }

  async #loadVersion(
    model: string,
    version: string,
    from: { path: string; settings: ModelSettings },
  ): Promise<LaneStatus> {
    return await this.#lanes.load({
      model,
      version,
      source: { path: from.path },
      session: sessionOptions(`${model}/${version}`, from.settings),
      ...planScheduling(from.settings, this.#queueItemsMax),
      check: ({ signature }) => checkSettings(from.settings, signature),
    })
  }

  /** What was served before and is not to be any more, now that the others are. */
  #unloadOthers(model: string, chosen: readonly string[]): void {
    for (const { version } of this.#lanes.ready(model)) {
      if (!chosen.includes(version)) void this.#lanes.unload(model, version)
    }
  }

  /** The index need not remember what was wrong with a folder that is not there any more. */
  #forgetGone(model: string, there: ReadonlyMap<string, unknown>): void {
    for (const status of this.#lanes.index()) {
      if (status.model === model && !there.has(status.version)) this.#lanes.forget(model, status.version)
    }
  }

  #noteMissing(
    model: string,
    { version_policy: policy }: ModelSettings,
    there: ReadonlyMap<string, unknown>,
  ): LaneStatus[] {
    if (!Array.isArray(policy)) return []
    const missing = policy.filter((version) => !there.has(version))
    return missing.map((version) =>
      this.#lanes.note(
        model,
        version,
        `Cannot serve version ${version}: version_policy names it, there is no such folder`,
      ),
    )
  }

  /** The settings, or what is wrong with them. */
  async #readSettings(folder: ModelFolder): Promise<ModelSettings | string> {
    if (folder.problem !== undefined) return folder.problem
    try {
      const settings = parseModelSettings(folder.config)
      this.#labels.set(folder.name, await readLabels(join(this.#root, folder.name), settings))
      return settings
    } catch (error) {
      return messageOf(error)
    }
  }
}
