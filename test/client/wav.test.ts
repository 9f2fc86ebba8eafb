import { describe, expect, test } from 'bun:test'
import { readWav } from '../../src/client/wav.ts'
import { asAudio, buildChunk, buildWav, encodeSound, type WavFields, wrapRiff } from './wav-file.ts'

function readSamples(fields: WavFields): number[] {
  return [...readWav(asAudio(buildWav(fields))).samples]
}

const floats = (values: number[]) => new Uint8Array(Float32Array.from(values).buffer)

describe('a sample is a number from -1 to 1', () => {
  test('of 8 bits, where 128 is silence', () => {
    expect(readSamples({ bits: 8, sound: Uint8Array.from([0, 128, 255]) })).toEqual([-1, 0, 127 / 128])
  })

  test('of 16 bits', () => {
    expect(readSamples({ sound: encodeSound([-32_768, 0, 16_384]) })).toEqual([-1, 0, 0.5])
  })

  test('of 24 bits, the sign in the third byte', () => {
    const sound = Uint8Array.from([0, 0, 0x80, 1, 0, 0, 0, 0, 0x40, 0xff, 0xff, 0xff])
    expect(readSamples({ bits: 24, sound })).toEqual([-1, 2 ** -23, 0.5, -(2 ** -23)])
  })

  test('of 32 bits', () => {
    const sound = new Uint8Array(Int32Array.from([-(2 ** 31), 2 ** 30]).buffer)
    expect(readSamples({ bits: 32, sound })).toEqual([-1, 0.5])
  })

  test('a float of 32 bits', () => {
    expect(readSamples({ tag: 3, bits: 32, sound: floats([0.25, -0.5]) })).toEqual([0.25, -0.5])
  })

  test('in an extensible header, whose last field has the real format', () => {
    const formatRest = new Uint8Array(24)
    formatRest[8] = 3
    expect(readSamples({ tag: 0xfffe, bits: 32, formatRest, sound: floats([0.25]) })).toEqual([0.25])
  })
})

test('several channels become their mean', () => {
  expect(readSamples({ channels: 2, sound: encodeSound([16_384, 0, 8192, 8192]) })).toEqual([0.25, 0.25])
})

test('chunks that are not sound are passed over, with their byte of padding', () => {
  const before = Buffer.concat([buildChunk('LIST', Buffer.from('odd')), buildChunk('LIST', Buffer.from('x'))])
  expect(readSamples({ before, sound: encodeSound([16_384]) })).toEqual([0.5])
})

test('the sample rate is the header’s', () => {
  expect(readWav(asAudio(buildWav({ sampleRateHz: 44_100 }))).sampleRateHz).toBe(44_100)
})

describe('a wrong header is refused by name:', () => {
  const good = buildWav()
  const withByte = (offset: number, byte: number) => {
    const bytes = good.slice()
    bytes[offset] = byte
    return bytes
  }
  const sound = buildChunk('data', encodeSound([0]))
  const format = good.subarray(12, 36)
  test.each([
    ['no bytes', new Uint8Array(), 'it has 0 bytes'],
    ['cut within the first header', good.slice(0, 11), 'it has 11 bytes'],
    ['not RIFF', withByte(0, 0x58), 'it does not begin with RIFF and WAVE'],
    ['not WAVE', withByte(8, 0x58), 'it does not begin with RIFF and WAVE'],
    ['cut', good.slice(0, -1), 'its header says 46 bytes, it has 45'],
    ['a chunk past the end', withByte(40, 4), 'its chunk "data" of 4 bytes ends past the file'],
    ['no format', wrapRiff([sound]), 'it has no "fmt " chunk'],
    ['two formats', wrapRiff([format, format, sound]), 'it has two chunks "fmt "'],
    ['no sound chunk', wrapRiff([format]), 'it has no "data" chunk'],
    [
      'short format',
      wrapRiff([buildChunk('fmt ', new Uint8Array(14)), sound]),
      'its "fmt " chunk has 14 bytes',
    ],
    ['MP3 inside', buildWav({ tag: 0x55 }), 'its samples have format 85 with 16 bits'],
    ['odd bits', buildWav({ bits: 12, frameBytes: 2 }), 'its samples have format 1 with 12 bits'],
    ['half floats', buildWav({ tag: 3, bits: 16 }), 'its samples have format 3 with 16 bits'],
    ['short extension', buildWav({ tag: 0xfffe }), 'its extensible "fmt " chunk has 16 bytes'],
    ['no channels', buildWav({ channels: 0 }), 'it has no channels'],
    ['rate too low', buildWav({ sampleRateHz: 999 }), 'its sample rate is 999 Hz'],
    ['rate too high', buildWav({ sampleRateHz: 768_001 }), 'its sample rate is 768001 Hz'],
    ['frame size', buildWav({ frameBytes: 4 }), 'its frame of 1 samples has 4 bytes'],
    ['byte rate', buildWav({ bytesPerSecond: 1 }), 'its second has 1 bytes'],
    ['half a frame', buildWav({ sound: new Uint8Array(3) }), 'its sound ends within a frame: 3 / 2 bytes'],
    ['no sound', buildWav({ sound: new Uint8Array() }), 'it holds no sound'],
  ])('%s', (_name, bytes, reason) => {
    expect(() => readWav(asAudio(bytes))).toThrow(`Cannot read "speech.wav" as WAV: ${reason}`)
  })
})
