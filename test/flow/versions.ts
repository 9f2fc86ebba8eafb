/** Versions of models whose answers tell which of them it was. */
import { golden, goldenFiles } from '../kit/golden.ts'
import * as zoo from '../kit/model-zoo.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import type { Version } from '../registry/publish.ts'

const TOLERANCE = { path: 'golden', atol_e6: 1000, rtol_e6: 1000 } as const

/** Answers its input times its release. */
export function scaling(release: number, of: Partial<Version> = {}): Version {
  const sample = {
    inputs: [golden('INPUT0', 'FP32', [3], [1, 2, -3])],
    outputs: [golden('OUTPUT0', 'FP32', [3], [release, 2 * release, -3 * release])],
  }
  const version = String(release)
  return {
    model: 'vision/scale',
    version,
    release,
    files: { [`${version}/model.onnx`]: zoo.scaled(release), ...goldenFiles([sample]) },
    golden: TOLERANCE,
    ...of,
  }
}

/** Its golden samples expect what is given, whatever it answers. */
export function answering(release: number, onnx: Uint8Array, expected: readonly number[]): Version {
  const sample = {
    inputs: [
      golden(
        'INPUT0',
        'FP32',
        [expected.length],
        expected.map(() => 1),
      ),
    ],
    outputs: [golden('OUTPUT0', 'FP32', [expected.length], expected)],
  }
  const files = { [`${release}/model.onnx`]: onnx, ...goldenFiles([sample]) }
  return scaling(release, { files })
}

/** Of a model whose golden sample counts to so many: a step takes its time, or its memory. */
export function counting(release: number, { onnx, steps }: { onnx: Uint8Array; steps: number }): Version {
  const sample = {
    inputs: [golden('INPUT0', 'INT64', [1], [steps])],
    outputs: [golden('OUTPUT0', 'FP32', [], [onnx.length === zoo.slow().length ? 1 / 256 : 1])],
  }
  const files = { [`${release}/model.onnx`]: onnx, ...goldenFiles([sample]) }
  return scaling(release, { model: 'vision/count', files })
}

const WEIGHTS_BYTES = 4_500_000

/** More files, and more bytes than are committed at once; each release shares the first half of them with the others. */
export function heavy(release: number, onnx = zoo.scaled(release)): Version {
  const weights = randomBytes(WEIGHTS_BYTES, 1)
  weights.set(randomBytes(WEIGHTS_BYTES / 2, release + 1), WEIGHTS_BYTES / 2)
  const light = scaling(release)
  const files = { ...light.files, [`${release}/model.onnx`]: onnx, [`${release}/weights.bin`]: weights }
  return { ...light, files }
}

/** Takes its time to be loaded: long enough to be killed meanwhile. */
export function longToLoad(release: number): Version {
  const config = `[[warmup]]
name = "long"
count = 5000
[warmup.inputs.INPUT0]
datatype = "FP32"
dims = [100000]
content = "zeros"
`
  const { files, ...version } = scaling(release)
  return { ...version, files: { ...files, 'config.toml': new TextEncoder().encode(config) } }
}

/** By what the answer was multiplied, and by which version; or what was answered instead. */
export async function askScale(url: string, model = 'scale'): Promise<string> {
  const body = JSON.stringify({
    inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2], data: [1, 10] }],
  })
  const answer = await fetch(`${url}/v2/models/${model}/infer`, { method: 'POST', body }).catch(
    () => undefined,
  )
  if (answer === undefined) return 'no answer'
  if (!answer.ok) return `${answer.status}: ${await answer.text()}`
  const { model_version: version, outputs } = (await answer.json()) as {
    model_version: string
    outputs: [{ data: number[] }]
  }
  const [first, second] = outputs[0].data
  return second === 10 * (first ?? 0) ? `${version} times ${first}` : `wrong: ${outputs[0].data}`
}
