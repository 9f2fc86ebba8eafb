import { demand, listChunks } from './riff.ts'
import type { SourceFile } from './source-file.ts'

/** One channel, from -1 to 1. */
export interface Recording {
  readonly sampleRateHz: number
  readonly samples: Float32Array
}

interface Format {
  readonly channels: number
  readonly sampleRateHz: number
  readonly bytesPerSample: number
  readonly read: (view: DataView, offset: number) => number
}

/** By format tag (1: whole numbers, 3: floats) and bits a sample. */
const READERS: Readonly<Record<string, Format['read']>> = {
  '1/8': (view, offset) => (view.getUint8(offset) - 128) / 2 ** 7,
  '1/16': (view, offset) => view.getInt16(offset, true) / 2 ** 15,
  '1/24': (view, offset) => (view.getUint8(offset) + view.getInt16(offset + 1, true) * 2 ** 8) / 2 ** 23,
  '1/32': (view, offset) => view.getInt32(offset, true) / 2 ** 31,
  '3/32': (view, offset) => view.getFloat32(offset, true),
}

const FORMAT_BYTES = 16
const EXTENSIBLE = 0xfffe
const EXTENSIBLE_BYTES = 40

/** Every field that follows from others is compared with them: a damaged file is refused, not played. */
export function readWav(file: SourceFile): Recording {
  const chunks = listChunks(file)
  const formatChunk = chunks.get('fmt ')
  const soundChunk = chunks.get('data')
  demand(file, formatChunk !== undefined, 'it has no "fmt " chunk')
  demand(file, soundChunk !== undefined, 'it has no "data" chunk')
  const format = readFormat(file, formatChunk)
  return { sampleRateHz: format.sampleRateHz, samples: mixChannels(file, soundChunk, format) }
}

function readFormat(file: SourceFile, chunk: DataView): Format {
  demand(file, chunk.byteLength >= FORMAT_BYTES, `its "fmt " chunk has ${chunk.byteLength} bytes`)
  const tag = readFormatTag(file, chunk)
  const channels = chunk.getUint16(2, true)
  const sampleRateHz = chunk.getUint32(4, true)
  const bytesPerSecond = chunk.getUint32(8, true)
  const frameBytes = chunk.getUint16(12, true)
  const bits = chunk.getUint16(14, true)
  const read = READERS[`${tag}/${bits}`]
  const wanted = 'wanted PCM of 8, 16, 24 or 32 bits, or floats of 32'
  demand(file, read !== undefined, `its samples have format ${tag} with ${bits} bits; ${wanted}`)
  demand(file, channels >= 1, 'it has no channels')
  demand(file, sampleRateHz >= 1000 && sampleRateHz <= 768_000, `its sample rate is ${sampleRateHz} Hz`)
  demand(
    file,
    frameBytes === (channels * bits) / 8,
    `its frame of ${channels} samples has ${frameBytes} bytes`,
  )
  demand(file, bytesPerSecond === sampleRateHz * frameBytes, `its second has ${bytesPerSecond} bytes`)
  return { channels, sampleRateHz, bytesPerSample: bits / 8, read }
}

/** The extensible header keeps the real tag in the first two bytes of its last field. */
function readFormatTag(file: SourceFile, chunk: DataView): number {
  const tag = chunk.getUint16(0, true)
  if (tag !== EXTENSIBLE) return tag
  demand(
    file,
    chunk.byteLength >= EXTENSIBLE_BYTES,
    `its extensible "fmt " chunk has ${chunk.byteLength} bytes`,
  )
  return chunk.getUint16(24, true)
}

function mixChannels(file: SourceFile, chunk: DataView, format: Format): Float32Array {
  const { channels, bytesPerSample, read } = format
  const frameBytes = channels * bytesPerSample
  const count = chunk.byteLength / frameBytes
  demand(
    file,
    Number.isInteger(count),
    `its sound ends within a frame: ${chunk.byteLength} / ${frameBytes} bytes`,
  )
  demand(file, count > 0, 'it holds no sound')
  const samples = new Float32Array(count)
  for (let frame = 0; frame < count; frame += 1) {
    let sum = 0
    for (let channel = 0; channel < channels; channel += 1) {
      sum += read(chunk, frame * frameBytes + channel * bytesPerSample)
    }
    samples[frame] = sum / channels
  }
  return samples
}
