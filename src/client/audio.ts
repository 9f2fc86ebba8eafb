/** To another rate by straight lines between the samples; no filter, so that what is above half the new rate folds. */
export function resample(samples: Float32Array, rates: { fromHz: number; toHz: number }): Float32Array {
  if (rates.fromHz === rates.toHz) return samples
  const step = rates.fromHz / rates.toHz
  const last = samples.length - 1
  const resampled = new Float32Array(Math.max(1, Math.round(samples.length / step)))
  return resampled.map((_, index) => {
    const position = Math.min(index * step, last)
    const before = Math.floor(position)
    const from = samples[before] ?? 0
    const to = samples[Math.min(before + 1, last)] ?? 0
    return from + (to - from) * (position - before)
  })
}

/**
 * The recording as a model takes it, each window with the end of the one before in front:
 *
 *   samples   │ 0 1 2 3 │ 4 5 6 7 │ 8 9
 *   window 0  0 0 0 1 2 3
 *   window 1        2 3 4 5 6 7
 *   window 2                6 7 8 9 0 0   (context 2)
 *
 * What lies outside the recording is silence.
 */
export function* cutWindows(
  samples: Float32Array,
  { windowSamples, contextSamples }: { windowSamples: number; contextSamples: number },
): Generator<Float32Array> {
  for (let start = 0; start < samples.length; start += windowSamples) {
    const window = new Float32Array(contextSamples + windowSamples)
    const from = start - contextSamples
    const inside = samples.subarray(Math.max(0, from), start + windowSamples)
    window.set(inside, Math.max(0, -from))
    yield window
  }
}
