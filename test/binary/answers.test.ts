/** Real models on real input, served by the compiled binary in an empty folder. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { decodeImage, measureImage } from '../../src/client/image-file.ts'
import { placeImage } from '../../src/client/image-placement.ts'
import { createImageTensor } from '../../src/client/image-tensor.ts'
import { readSource } from '../../src/client/source-file.ts'
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { BINARY, createFolder, DATA, MODELS, type Running, runToEnd, startServing } from '../kit/binary.ts'
import { noise, readWav, silence } from '../kit/signals.ts'
import { floats, inferBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const command = join(folder.path, 'limpet')
let server: Running

beforeAll(async () => {
  await copyFile(BINARY, command)
  server = await startServing(folder.path, { command: [command, 'serve', '--models', MODELS, '--port', '0'] })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

const infer = (...args: string[]) =>
  runToEnd(folder.path, { command: [command, 'infer', ...args, '--url', server.url] })

describe('text orientation', () => {
  test.each([
    ['label.png', '0'],
    ['label-180.png', '180'],
  ])('%s is turned by %s degrees', async (file, degrees) => {
    const { stdout, stderr, exitCode } = await infer('text-orientation', join(DATA, file))
    expect(stderr).toBe('')
    expect(exitCode).toBe(0)
    const best = stdout.split('\n').find((line) => /^\s*(0|180)\s/.test(line))
    expect(best?.trim().split(/\s+/)[0]).toBe(degrees)
    expect(Number(best?.trim().split(/\s+/)[1])).toBeGreaterThan(0.9)
  })

  test('the scores are those of onnxruntime-node', async () => {
    const x = await orientationInput(join(DATA, 'label-180.png'))
    const outputs = await inferBinary(server.url, 'text-orientation', [tensorOf('x', 'FP32', x)])
    const session = await InferenceSession.create(join(MODELS, 'text-orientation/1/model.onnx'))
    const expected = await session.run({ x: new Tensor('float32', x.data, x.shape) })
    const scores = expected['softmax_0.tmp_0']?.data as Float32Array
    expect(maxDifference(floats(outputs.get('softmax_0.tmp_0')), scores)).toBeLessThan(1e-5)
  })
})

describe('voice activity', () => {
  test('a spoken sentence is found where it is', async () => {
    const { stdout, exitCode } = await infer('silero-vad', join(DATA, 'speech.wav'))
    expect(exitCode).toBe(0)
    const spans = [...stdout.matchAll(/speech ([\d.]+) s to ([\d.]+) s/g)].map((match) => [
      Number(match[1]),
      Number(match[2]),
    ])
    expect(spans.length).toBeGreaterThanOrEqual(1)
    // Half a second of silence lies before and after it.
    expect(spans[0]?.[0]).toBeGreaterThan(0.3)
    expect(spans[0]?.[0]).toBeLessThan(1)
    expect(spans.reduce((sum, [from = 0, to = 0]) => sum + to - from, 0)).toBeGreaterThan(1)
  })

  test.each([
    ['silence', () => silence(32_000)],
    ['noise', () => noise(32_000, 7)],
  ])('%s is not speech', async (_, make) => {
    const probabilities = await listen(make())
    expect(Math.max(...probabilities)).toBeLessThan(0.5)
  })

  test('the probabilities are those of onnxruntime-node, with the state carried from one window to the next', async () => {
    const samples = (await readWav(join(DATA, 'speech.wav'))).slice(0, 24_000)
    const ours = await listen(samples)
    const theirs = await listenWithNode(samples)
    expect(ours.length).toBe(theirs.length)
    expect(Math.max(...ours)).toBeGreaterThan(0.9)
    expect(maxDifference(Float32Array.from(ours), Float32Array.from(theirs))).toBeLessThan(1e-5)
  })
})

test('text is found on a page, a box for each line', async () => {
  const { stdout, exitCode } = await infer('text-detector', join(DATA, 'page.png'), '--json')
  expect(exitCode).toBe(0)
  const answer = JSON.parse(stdout) as { runs: { outputs: unknown[] }[] }
  expect(JSON.stringify(answer.runs[0]?.outputs).match(/"width_px"/g)?.length).toBeGreaterThanOrEqual(3)
})

const WINDOW = 512
const CONTEXT = 64

/** Windows of 512 samples with the 64 before them, as the model wants them. */
function* windows(samples: Float32Array): Generator<Float32Array<ArrayBuffer>> {
  for (let at = 0; at + WINDOW <= samples.length; at += WINDOW) {
    const window = new Float32Array(CONTEXT + WINDOW)
    window.set(samples.subarray(Math.max(0, at - CONTEXT), at + WINDOW), at === 0 ? CONTEXT : 0)
    yield window
  }
}

async function listen(samples: Float32Array): Promise<number[]> {
  let state = new Float32Array(2 * 128)
  const probabilities: number[] = []
  for (const window of windows(samples)) {
    const outputs = await inferBinary(server.url, 'silero-vad', [
      tensorOf('input', 'FP32', { shape: [1, CONTEXT + WINDOW], data: window }),
      tensorOf('state', 'FP32', { shape: [2, 1, 128], data: state }),
      tensorOf('sr', 'INT64', { shape: [], data: new BigInt64Array([16_000n]) }),
    ])
    state = floats(outputs.get('stateN')) as Float32Array<ArrayBuffer>
    probabilities.push(floats(outputs.get('output'))[0] ?? Number.NaN)
  }
  return probabilities
}

async function listenWithNode(samples: Float32Array): Promise<number[]> {
  const session = await InferenceSession.create(join(MODELS, 'silero-vad/1/model.onnx'))
  let state: Tensor = new Tensor('float32', new Float32Array(256), [2, 1, 128])
  const probabilities: number[] = []
  for (const window of windows(samples)) {
    const feeds = {
      input: new Tensor('float32', window, [1, CONTEXT + WINDOW]),
      state,
      sr: new Tensor('int64', new BigInt64Array([16_000n]), []),
    }
    const outputs = await session.run(feeds)
    state = outputs['stateN'] as Tensor
    probabilities.push(Number((outputs['output'] as Tensor).data[0]))
  }
  return probabilities
}

async function orientationInput(path: string): Promise<{ shape: number[]; data: Float32Array<ArrayBuffer> }> {
  const config = join(MODELS, 'text-orientation/config.toml')
  const { client } = parseModelSettings({ path: config, text: await Bun.file(config).text() })
  const hint = client?.inputs['x']
  if (hint?.from !== 'image') throw new Error('The classifier takes an image')
  const file = await readSource(path, () => new Blob([]).stream())
  const placement = placeImage(await measureImage(file), hint)
  const pixels = await decodeImage(file, placement.content)
  const spec = { name: 'x', datatype: 'FP32' as const, shape: [-1, 3, -1, -1] }
  const tensor = createImageTensor(spec, hint, pixels, placement.canvas)
  return { shape: [...tensor.shape], data: new Float32Array(tensor.bytes.slice().buffer) }
}

function maxDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - (b[index] ?? Number.NaN))), 0)
}
