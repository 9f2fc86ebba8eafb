import type { LaneStatus } from '../inference/lane-table.ts'

interface ListedModel {
  readonly name: string
  readonly versions: { version: string; state: string; reason?: string }[]
  /** Of the model as a whole, where it has no version that could have one. */
  state?: string
  reason?: string
}

/** `GET /v2/models`: the repository index by model, for people; the protocol has no such list. */
export function listModels(statuses: readonly LaneStatus[]): { models: ListedModel[] } {
  const models = new Map<string, ListedModel>()
  for (const { model, version, state, reason } of statuses) {
    const listed: ListedModel = models.get(model) ?? { name: model, versions: [] }
    const status = { state, ...(reason === '' ? {} : { reason }) }
    if (version === '') Object.assign(listed, status)
    else listed.versions.push({ version, ...status })
    models.set(model, listed)
  }
  return { models: [...models.values()] }
}
