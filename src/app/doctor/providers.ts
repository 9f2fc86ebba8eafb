import { PROVIDER_LIBRARIES, PROVIDER_NAMES, providerFullName } from '../../runtime/providers.ts'
import { type Check, checksOf } from './check.ts'
import { isLoadable, type LibraryFacts } from './libraries.ts'

const { ok, note } = checksOf('providers')

export interface ProviderFacts {
  /** What ONNX Runtime was built with, as it calls it. */
  readonly built: readonly string[]
  readonly libraries: readonly LibraryFacts[]
  /** Names that libraries of their own stand for. */
  readonly plugins: readonly string[]
}

/** What ONNX Runtime says it was built with, and whether what that takes is there. */
export function judgeProviders({ built, libraries, plugins }: ProviderFacts): Check[] {
  const others = built.filter((full) => !PROVIDER_NAMES.some((name) => providerFullName(name) === full))
  return [
    ...PROVIDER_NAMES.filter((name) => !plugins.includes(name)).map((name) =>
      judgeProvider(name, { built, libraries }),
    ),
    ...others.map((full) => ok('available', `${full}: available`, { facts: { provider: full } })),
  ]
}

function judgeProvider(name: string, { built, libraries }: Omit<ProviderFacts, 'plugins'>): Check {
  const facts = { provider: name }
  if (!built.includes(providerFullName(name)))
    return note('absent', `${name}: not available: this libonnxruntime was built without it`, { facts })
  const file = PROVIDER_LIBRARIES[name]
  if (file === undefined) return ok('available', `${name}: available`, { facts })
  const library = libraries.find((one) => one.name === name)
  if (library === undefined) {
    const fix = 'point runtime.library at a build of ONNX Runtime that has it'
    return note('absent', `${name}: not available: there is no "${file}" beside ONNX Runtime`, { facts, fix })
  }
  if (isLoadable(library)) return ok('available', `${name}: available through "${library.path}"`, { facts })
  return note('absent', `${name}: not available: its library cannot be loaded, as said above`, { facts })
}
