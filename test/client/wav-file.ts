import type { SourceFile } from '../../src/client/source-file.ts'

/** A good WAV file, one field of which a test may set wrong. */
export interface WavFields {
  tag?: number
  channels?: number
  sampleRateHz?: number
  bytesPerSecond?: number
  frameBytes?: number
  bits?: number
  /** Behind the sixteen bytes of a plain format chunk. */
  formatRest?: Uint8Array
  sound?: Uint8Array
  before?: Uint8Array
}

export function buildWav(fields: WavFields = {}): Uint8Array<ArrayBuffer> {
  const { tag = 1, channels = 1, sampleRateHz = 16_000, bits = 16, before = new Uint8Array() } = fields
  const { frameBytes = (channels * bits) / 8, sound = new Uint8Array(frameBytes) } = fields
  const format = Buffer.alloc(16)
  format.writeUInt16LE(tag, 0)
  format.writeUInt16LE(channels, 2)
  format.writeUInt32LE(sampleRateHz, 4)
  format.writeUInt32LE(fields.bytesPerSecond ?? sampleRateHz * frameBytes, 8)
  format.writeUInt16LE(frameBytes, 12)
  format.writeUInt16LE(bits, 14)
  const formatChunk = buildChunk('fmt ', Buffer.concat([format, fields.formatRest ?? new Uint8Array()]))
  return wrapRiff([formatChunk, before, buildChunk('data', sound)])
}

export function wrapRiff(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buildChunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...chunks])))
}

export function buildChunk(name: string, content: Uint8Array): Buffer {
  const size = Buffer.alloc(4)
  size.writeUInt32LE(content.length)
  return Buffer.concat([Buffer.from(name), size, content, new Uint8Array(content.length % 2)])
}

export function encodeSound(samples: readonly number[]): Uint8Array {
  return new Uint8Array(Int16Array.from(samples).buffer)
}

export function asAudio(bytes: Uint8Array<ArrayBuffer>): SourceFile {
  return { name: 'speech.wav', kind: 'audio', bytes }
}
