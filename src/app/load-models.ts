import { type ModelSettings, parseModelSettings } from '../config/model-settings.ts'
import type { Lanes } from '../inference/lanes.ts'
import { chooseVersions } from '../inference/versions.ts'
import { messageOf } from '../kit/errors.ts'
import { listModels, type ModelFolder } from '../store/model-folder.ts'
import { planScheduling } from './lane-plan.ts'
import { sessionOptions } from './runtime.ts'

/** Loads what is in the folder; what cannot be loaded stands in the index with its reason. */
export async function loadModels(
  root: string,
  lanes: Lanes,
  queueItemsMax: number,
): Promise<ReadonlyMap<string, ModelSettings>> {
  const settings = new Map<string, ModelSettings>()
  for (const folder of await listModels(root)) {
    const own = readSettings(folder, lanes)
    if (own === undefined) continue
    settings.set(folder.name, own)
    const there = new Map(folder.versions.map((version) => [version.version, version]))
    for (const version of chooseVersions(own.version_policy, [...there.keys()])) {
      const { path, problem } = there.get(version) ?? { path: '', problem: undefined }
      if (problem !== undefined) lanes.note(folder.name, version, problem)
      else {
        const session = sessionOptions(`${folder.name}/${version}`, own)
        const plan = planScheduling(own, queueItemsMax)
        await lanes.load({ model: folder.name, version, source: { path }, session, ...plan, check: () => [] })
      }
    }
  }
  return settings
}

function readSettings(folder: ModelFolder, lanes: Lanes): ModelSettings | undefined {
  if (folder.problem !== undefined) {
    lanes.note(folder.name, '', folder.problem)
    return undefined
  }
  try {
    return parseModelSettings(folder.config)
  } catch (error) {
    lanes.note(folder.name, '', messageOf(error))
    return undefined
  }
}
