import { join } from 'node:path'

interface Sample {
  readonly inputs: readonly object[]
  readonly outputs: readonly object[]
}

export function golden(
  name: string,
  datatype: string,
  shape: readonly number[],
  data: readonly unknown[],
): object {
  return { name, datatype, shape, data }
}

/** Golden samples as they travel with a version, by their paths. NaN and infinity are bare words, which JSON has not. */
export function goldenFiles(samples: readonly Sample[]): Record<string, Uint8Array<ArrayBuffer>> {
  const text = (of: 'inputs' | 'outputs') =>
    JSON.stringify(
      samples.map((sample) => sample[of]),
      (_, value: unknown) => (typeof value === 'number' && !Number.isFinite(value) ? `word:${value}` : value),
    ).replaceAll(/"word:(-?[A-Za-z]+)"/g, '$1')
  const encode = (of: 'inputs' | 'outputs') => new TextEncoder().encode(text(of))
  return { 'golden/inputs.json': encode('inputs'), 'golden/outputs.json': encode('outputs') }
}

export async function writeGolden(folder: string, samples: readonly Sample[]): Promise<void> {
  for (const [path, bytes] of Object.entries(goldenFiles(samples))) await Bun.write(join(folder, path), bytes)
}
