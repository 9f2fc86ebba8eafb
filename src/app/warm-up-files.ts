import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelSettings } from '../config/model-settings.ts'
import type { WarmUpSample } from '../inference/warm-up-inputs.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { pathProblem } from '../store/sent-files.ts'

const FILE_BYTES_MAX = 256 * 1024 * 1024

/** What a model is warmed up with, its files read: they lie in the folder `warmup` of the model, as Triton has them. */
export async function readWarmUp(folder: string, settings: ModelSettings): Promise<WarmUpSample[]> {
  const samples: WarmUpSample[] = []
  for (const { name, count, batch_size: batchSize, inputs } of settings.warmup) {
    const read = Object.entries(inputs).map(async ([input, { datatype, dims, content, file }]) => ({
      name: input,
      datatype,
      dims,
      content: file === undefined ? (content ?? 'zeros') : await readSample(folder, { sample: name, file }),
    }))
    samples.push({ name, count, batchSize, inputs: await Promise.all(read) })
  }
  return samples
}

async function readSample(folder: string, from: { sample: string; file: string }): Promise<Uint8Array> {
  const path = join(folder, 'warmup', from.file)
  const refuse = (what: string, cause?: unknown) =>
    new EdgeError(
      'config_invalid',
      `Cannot read "${path}" for the warm-up sample "${from.sample}": ${what}`,
      { cause },
    )
  const problem = pathProblem([from.file])
  if (problem !== undefined) throw refuse(problem)
  try {
    const { size } = await stat(path)
    if (size > FILE_BYTES_MAX) throw refuse(`it has ${size} bytes, at most ${FILE_BYTES_MAX}`)
    return new Uint8Array(await Bun.file(path).arrayBuffer())
  } catch (cause) {
    throw cause instanceof EdgeError ? cause : refuse(messageOf(cause), cause)
  }
}
