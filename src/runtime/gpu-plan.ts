import { access } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EdgeError } from '../kit/errors.ts'
import type { ModelSource, ProviderChoice, SessionOptions, Signature } from './backend.ts'
import { applyGpuSettings, type GpuSettings, type NameOf, wantsShapes } from './gpu-settings.ts'
import { resolveShapes } from './gpu-shapes.ts'

const NOTHING_SAID: GpuSettings = { precision: ['fp32'], shapes: {} }

interface Planning {
  readonly source: ModelSource
  readonly options: SessionOptions
  /** As the device has them: its options count where the model's settings have none of that name. */
  readonly device: readonly ProviderChoice[]
  readonly nameOf: NameOf
  /** What the model's tensors are like, without loading it anywhere but on the processor; undefined where that fails. */
  readonly look: () => Promise<Signature | undefined>
}

/** The providers with the options that the model's settings and the device's come to. Refuses what cannot be, all at once. */
export async function planProviders(planning: Planning): Promise<readonly ProviderChoice[]> {
  const { options, device, nameOf } = planning
  const wanted = (options.providers ?? device).map((choice) => withDefaults(choice, planning))
  if (options.gpu === undefined && !wanted.some(({ name }) => wantsShapes(nameOf(name)))) return wanted
  const problems: string[] = []
  const gpu = { ...(options.gpu ?? NOTHING_SAID) }
  gpu.calibrationTable = await findTable(planning, problems)
  const shapes = await findShapes(planning, wanted, problems)
  const applied = applyGpuSettings(wanted, { gpu: { ...gpu, shapes }, nameOf })
  problems.push(...applied.problems)
  if (problems.length === 0) return applied.providers
  throw new EdgeError('model_invalid', `Cannot load "${options.id}": ${problems.join('; ')}`)
}

function withDefaults(choice: ProviderChoice, { device, nameOf }: Planning): ProviderChoice {
  const same = device.find(({ name }) => nameOf(name) === nameOf(choice.name))
  return same === undefined ? choice : { ...choice, options: { ...same.options, ...choice.options } }
}

/** Beside the model: ONNX Runtime would look for it among the engines. */
async function findTable({ source, options }: Planning, problems: string[]): Promise<string | undefined> {
  const table = options.gpu?.calibrationTable
  if (table === undefined) return undefined
  const path = 'path' in source ? join(dirname(source.path), table) : undefined
  const isThere =
    path !== undefined &&
    (await access(path).then(
      () => true,
      () => false,
    ))
  if (!isThere)
    problems.push(`session.gpu.calibration_table is "${table}", and there is no such file beside the model`)
  return path
}

async function findShapes(
  { options, nameOf, look }: Planning,
  wanted: readonly ProviderChoice[],
  problems: string[],
): Promise<GpuSettings['shapes']> {
  const shapes = options.gpu?.shapes ?? {}
  const batchSizeMax = options.batchSizeMax ?? 0
  const isSaid = Object.keys(shapes).length > 0
  const open = wanted.filter((choice) => wantsShapes(nameOf(choice.name)) && !hasShapes(choice))
  if (open.length === 0 || (!isSaid && batchSizeMax === 0)) return shapes
  const signature = await look()
  if (signature === undefined) return shapes
  const resolved = resolveShapes(signature, { shapes, batchSizeMax })
  if ('shapes' in resolved) return resolved.shapes
  problems.push(...resolved.problems)
  return shapes
}

/** Its own options say it already. */
function hasShapes({ options }: ProviderChoice): boolean {
  return Object.keys(options).some((key) => key.endsWith('_profile_min_shapes'))
}
