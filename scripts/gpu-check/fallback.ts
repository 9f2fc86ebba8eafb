/** A provider that cannot be had is passed over where a person sees it, and the processor answers right. */
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DRIVER, isKnown, settingsFor } from './machine.ts'
import { type Answers, largestDifference } from './on-provider.ts'
import { answersOf, MODELS, type Options, type Served, samplesOf, serving } from './stage.ts'
import { NotRun } from './table.ts'

/** ONNX Runtime with bytes that are no library in CUDA's place. */
export async function wrongLibrary(options: Options, expected: Answers): Promise<string> {
  const folder = join(options.folder, 'wrong')
  await mkdir(folder, { recursive: true })
  const shared = 'libonnxruntime_providers_shared.so'
  await copyFile(await ownLibrary(options), join(folder, 'libonnxruntime.so'))
  if (options.libraries !== undefined) await copyFile(join(options.libraries, shared), join(folder, shared))
  await Bun.write(join(folder, 'libonnxruntime_providers_cuda.so'), 'these bytes are no library')
  const settings = settingsFor(folder, ['cuda', 'cpu'])
  return await serving(options, { name: 'wrong-library', settings }, (served) => passedOver(served, expected))
}

/** NVIDIA's libraries without an NVIDIA driver. */
export async function withoutDriver(options: Options, expected: Answers): Promise<string> {
  if (isKnown(DRIVER)) throw new NotRun('there is a driver')
  if (options.libraries === undefined) throw new NotRun('no build of ONNX Runtime for GPUs (--libraries)')
  const settings = settingsFor(options.libraries, ['cuda', 'cpu'])
  return await serving(options, { name: 'without-driver', settings }, (served) =>
    passedOver(served, expected),
  )
}

async function passedOver(served: Served, expected: Answers): Promise<string> {
  const metrics = await served.metrics()
  const answers = await answersOf(served.url)
  const reasons = new Set<string>()
  for (const model of MODELS) {
    const reason = await served.reasonOf(model)
    reasons.add(reason)
    if (!reason.includes('cuda refused it: ')) throw new Error(`The index does not say why: "${reason}"`)
    const isCounted = samplesOf(metrics, 'limpet_lane_provider_refused').some(
      ({ labels, value }) => labels.includes(`model="${model}"`) && labels.includes('cuda') && value === 1,
    )
    if (!isCounted) throw new Error(`No limpet_lane_provider_refused tells of ${model}`)
    const off = largestDifference(answers[model] ?? [], expected[model] ?? [])
    if (!(off <= 1e-4)) throw new Error(`${model} is off by ${off} on the processor`)
  }
  return `all models answer, and the index says: ${[...reasons].join('; ')}`
}

/** The one inside the binary has been unpacked by whatever was served before. */
async function ownLibrary({ libraries, folder }: Options): Promise<string> {
  if (libraries !== undefined) return join(libraries, 'libonnxruntime.so')
  const unpacked = join(folder, 'processor/state/unpacked')
  const [digest = ''] = await readdir(unpacked)
  return join(unpacked, digest, 'libonnxruntime.so.1')
}
