import type { AudioHint, ImageHint } from '../config/client-hints.ts'
import { EdgeError } from '../kit/errors.ts'
import { cutWindows, resample } from './audio.ts'
import type { Given } from './given.ts'
import { explainMissingHint } from './hint-advice.ts'
import type { InputHint } from './hints.ts'
import { decodeImage, measureImage } from './image-file.ts'
import { type Placement, placeImage } from './image-placement.ts'
import { createImageTensor } from './image-tensor.ts'
import type { SourceFile } from './source-file.ts'
import type { Tensor, TensorSpec } from './tensor.ts'
import { quote } from './text.ts'
import { createJsonTensor, createRowTensor, createZeroTensor } from './value-tensor.ts'
import { readWav } from './wav.ts'

/** Where windows lie in a recording. */
export interface Timeline {
  readonly windowSeconds: number
  readonly durationSeconds: number
}

/** What one input is in the requests of a run. */
export type Part =
  | { readonly kind: 'same'; readonly tensor: Tensor; readonly placement?: Placement }
  | { readonly kind: 'windows'; readonly tensors: Iterable<Tensor>; readonly timeline: Timeline }
  | { readonly kind: 'carried'; readonly input: TensorSpec; readonly first: Tensor; readonly output: string }

/** `undefined`: nothing says what this input is. The server knows whether it can do without. */
export async function createPart(
  input: TensorSpec,
  hint: InputHint | undefined,
  given: Given | undefined,
): Promise<Part | undefined> {
  if (given?.kind === 'value') return { kind: 'same', tensor: createJsonTensor(input, given.value) }
  if (given?.kind === 'image') return createImagePart(input, expectHint(input, hint, 'image'), given.file)
  if (given?.kind === 'audio') return createAudioPart(input, expectHint(input, hint, 'audio'), given.file)
  if (hint?.from === 'value') return { kind: 'same', tensor: createRowTensor(input, hint.value, 'value') }
  if (hint?.from !== 'output') return undefined
  return { kind: 'carried', input, first: createZeroTensor(input, hint.shape), output: hint.output }
}

function expectHint<K extends 'image' | 'audio'>(
  input: TensorSpec,
  hint: InputHint | undefined,
  kind: K,
): Extract<InputHint, { from: K }> {
  if (hint === undefined) throw explainMissingHint(kind, [input])
  if (hint.from === kind) return hint as Extract<InputHint, { from: K }>
  throw new EdgeError(
    'input_invalid',
    `Cannot make input ${quote(input.name)} of an ${kind} file: the model's hints make it from "${hint.from}"`,
  )
}

async function createImagePart(input: TensorSpec, hint: ImageHint, file: SourceFile): Promise<Part> {
  const placement = placeImage(await measureImage(file), hint)
  const pixels = await decodeImage(file, placement.content)
  return { kind: 'same', tensor: createImageTensor(input, hint, pixels, placement.canvas), placement }
}

function createAudioPart(input: TensorSpec, hint: AudioHint, file: SourceFile): Part {
  const recording = readWav(file)
  const rates = { fromHz: recording.sampleRateHz, toHz: hint.sample_rate_hz }
  const samples = resample(recording.samples, rates)
  const timeline = {
    windowSeconds: hint.window_samples / hint.sample_rate_hz,
    durationSeconds: samples.length / hint.sample_rate_hz,
  }
  return { kind: 'windows', tensors: createWindowTensors(input, hint, samples), timeline }
}

function* createWindowTensors(input: TensorSpec, hint: AudioHint, samples: Float32Array): Generator<Tensor> {
  const lengths = { windowSamples: hint.window_samples, contextSamples: hint.context_samples }
  for (const window of cutWindows(samples, lengths)) {
    yield createRowTensor(input, window, 'window_samples and context_samples')
  }
}
