import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type InferOptions, runInfer } from '../../src/app/infer.ts'
import type { Clock } from '../../src/kit/clock.ts'
import { FakeServer, type Model } from './fake-server.ts'
import { buildPng } from './png-file.ts'
import { buildWav, encodeSound } from './wav-file.ts'

/** Says how red and how blue an image is. */
const COLOURS: Model = {
  inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 3, -1, -1] }],
  outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, 2] }],
  client: {
    inputs: { image: { from: 'image', width: 2, height: 1 } },
    outputs: { scores: { as: 'classes', labels: ['red', 'blue'] } },
  },
  run: (inputs) => {
    const [r1 = 0, r2 = 0, , , b1 = 0, b2 = 0] = inputs.get('image') ?? []
    return { scores: { shape: [1, 2], values: [(r1 + r2) / 2, (b1 + b2) / 2] } }
  },
}

/** Answers with the loudest sample of a window, and counts the windows in its state. */
const LISTENER: Model = {
  inputs: [
    { name: 'sound', datatype: 'FP32', shape: [-1, -1] },
    { name: 'state', datatype: 'FP16', shape: [1, 1] },
    { name: 'rate', datatype: 'INT64', shape: [] },
  ],
  outputs: [
    { name: 'loudness', datatype: 'FP32', shape: [-1, 1] },
    { name: 'next', datatype: 'FP32', shape: [1, 1] },
  ],
  client: {
    inputs: {
      sound: { from: 'audio', sample_rate_hz: 8000, window_samples: 2, context_samples: 1 },
      state: { from: 'output', output: 'next', shape: [1, 1] },
      rate: { from: 'value', value: [8000] },
    },
    outputs: { loudness: { as: 'segments', label: 'noise', threshold: 0.5 } },
  },
  run: (inputs) => {
    const [, ...sound] = inputs.get('sound') ?? []
    const [state = 0] = inputs.get('state') ?? []
    return {
      loudness: { shape: [1, 1], values: [Math.max(...sound)] },
      next: { shape: [1, 1], values: [state + 1] },
    }
  },
}

/** Has no hints, and a name that has to be escaped. */
const TWICE: Model = {
  inputs: [{ name: 'x', datatype: 'INT32', shape: [-1, 2] }],
  outputs: [{ name: 'y', datatype: 'INT32', shape: [-1, 2] }],
  run: (inputs) => {
    const values = (inputs.get('x') ?? []).map((value) => value * 2)
    return { y: { shape: [values.length / 2, 2], values } }
  },
}

/** A server with three models, a folder for files, and a person who calls `limpet infer`. */
export class InferStage {
  readonly server = new FakeServer({ colours: COLOURS, listener: LISTENER, 'twice/plain': TWICE })
  readonly #folder = mkdtemp(join(tmpdir(), 'limpet-infer-'))

  /** The lines that the person sees. */
  async infer(options: Partial<InferOptions>, stdin = ''): Promise<string[]> {
    const lines: string[] = []
    const world = { clock: createClock(), stdin: () => new Blob([stdin]).stream() }
    const usual = { model: 'colours', files: [], inputs: [], json: false, timeoutMs: 5000 }
    await runInfer({ ...usual, url: this.server.url, ...options }, (line) => lines.push(line), world)
    return lines
  }

  async write(name: string, content: Uint8Array | string): Promise<string> {
    const path = join(await this.#folder, name)
    await Bun.write(path, content)
    return path
  }

  /** Two pixels, all red, one of them a little blue. */
  photo(): Promise<string> {
    const red = [255, 0, 0]
    return this.write('photo.png', buildPng([[red, [255, 0, 51]]]))
  }

  /** Seven samples at 8 kHz: silence, two that are loud, silence. */
  speech(): Promise<string> {
    const sound = encodeSound([0, 0, 0, 24_576, 16_384, 0, 0])
    return this.write('speech.wav', buildWav({ sampleRateHz: 8000, sound }))
  }

  async clear(): Promise<void> {
    await this.server.stop()
    await rm(await this.#folder, { recursive: true })
  }
}

/** Every look at it is a millisecond and a half later. */
function createClock(): Clock {
  let ms = 0
  const look = () => {
    ms += 1.5
    return ms
  }
  return { now: look, elapsed: look, sleep: () => Promise.resolve() }
}
