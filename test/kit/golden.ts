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

/** Golden samples as they travel with a version. NaN and infinity are bare words, which JSON has not. */
export async function writeGolden(folder: string, samples: readonly Sample[]): Promise<void> {
  const text = (of: 'inputs' | 'outputs') =>
    JSON.stringify(
      samples.map((sample) => sample[of]),
      (_, value: unknown) => (typeof value === 'number' && !Number.isFinite(value) ? `word:${value}` : value),
    ).replaceAll(/"word:(-?[A-Za-z]+)"/g, '$1')
  await Bun.write(join(folder, 'golden/inputs.json'), text('inputs'))
  await Bun.write(join(folder, 'golden/outputs.json'), text('outputs'))
}
