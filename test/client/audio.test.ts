import { describe, expect, test } from 'bun:test'
import { cutWindows, resample } from '../../src/client/audio.ts'

describe('resampling', () => {
  const ramp = Float32Array.from([0, 1, 2, 3])

  test('to the same rate changes nothing', () => {
    expect(resample(ramp, { fromHz: 16_000, toHz: 16_000 })).toBe(ramp)
  })

  test('to twice the rate puts a point between each two, and holds the last', () => {
    expect([...resample(ramp, { fromHz: 8000, toHz: 16_000 })]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
  })

  test('to half the rate takes every second', () => {
    expect([...resample(ramp, { fromHz: 16_000, toHz: 8000 })]).toEqual([0, 2])
  })

  test('keeps the duration', () => {
    expect(resample(new Float32Array(44_100), { fromHz: 44_100, toHz: 16_000 })).toHaveLength(16_000)
  })

  test('leaves at least one sample', () => {
    expect([...resample(Float32Array.from([0.5]), { fromHz: 16_000, toHz: 1000 })]).toEqual([0.5])
  })
})

describe('windows', () => {
  const cut = (samples: number[], windowSamples: number, contextSamples: number) =>
    [...cutWindows(Float32Array.from(samples), { windowSamples, contextSamples })].map((window) => [
      ...window,
    ])

  test('have the end of the one before in front, and silence outside the recording', () => {
    expect(cut([1, 2, 3, 4, 5, 6, 7, 8, 9], 4, 2)).toEqual([
      [0, 0, 1, 2, 3, 4],
      [3, 4, 5, 6, 7, 8],
      [7, 8, 9, 0, 0, 0],
    ])
  })

  test('without context just follow each other', () => {
    expect(cut([1, 2, 3, 4], 2, 0)).toEqual([
      [1, 2],
      [3, 4],
    ])
  })

  test('may have more context than new samples', () => {
    expect(cut([1, 2, 3], 1, 2)).toEqual([
      [0, 0, 1],
      [0, 1, 2],
      [1, 2, 3],
    ])
  })
})
