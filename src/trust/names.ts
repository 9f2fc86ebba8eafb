/** Names that go into URLs, topics and paths: no slash, no leading dot, and a bound. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const TOP_LEVEL_ROLES: ReadonlySet<string> = new Set(['root', 'targets', 'snapshot', 'timestamp'])

/** The target that holds the director's public keys. */
export const DIRECTOR_TARGET = 'keys/director.json'

/** A family is a delegated role of TUF, so the names of the other roles are taken. */
export function isFamilyName(name: string): boolean {
  return NAME.test(name) && !TOP_LEVEL_ROLES.has(name) && !(name in {})
}

export function isVersionName(name: string): boolean {
  return NAME.test(name)
}

/** A fleet's model: `family/name`. Undefined where the text is none. */
export function splitModel(model: string): { readonly family: string; readonly name: string } | undefined {
  const [family, name, ...more] = model.split('/')
  if (family === undefined || name === undefined || more.length > 0) return undefined
  return isFamilyName(family) && NAME.test(name) ? { family, name } : undefined
}

export function manifestTarget(model: string, version: string): string {
  return `models/${model}/${version}.json`
}

/** The model and version that a target's path stands for. */
export function splitTarget(path: string): { readonly model: string; readonly version: string } | undefined {
  const match = /^models\/([^/]+\/[^/]+)\/([^/]+)\.json$/.exec(path)
  const [, model, version] = match ?? []
  if (model === undefined || version === undefined) return undefined
  return splitModel(model) !== undefined && NAME.test(version) ? { model, version } : undefined
}
