import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EdgeError } from '../kit/errors.ts'
import { setLogLevel } from '../kit/log.ts'
import { probeHere } from './probe.ts'
import { spawnProbe } from './spawn-probe.ts'

const GOLDEN = 'golden'
const MIB = 1024 ** 2

export interface RunProbeOptions {
  readonly folder: string
  readonly golden: string | undefined
  readonly atol: number
  readonly rtol: number
  readonly memoryMb: number
  readonly seconds: number
  readonly config: string | undefined
  readonly state: string | undefined
  readonly here?: boolean
}

/** `limpet probe DIR`: prints the report, and whether the version is fit. */
export async function runProbe(options: RunProbeOptions, print: (line: string) => void): Promise<boolean> {
  setLogLevel('error')
  const { folder, atol, rtol, config, state } = options
  const path = options.golden ?? ((await isFolder(join(folder, GOLDEN))) ? GOLDEN : undefined)
  if (!(await isFolder(folder))) {
    throw new EdgeError(
      'input_invalid',
      `Cannot probe "${folder}": it is no folder, expected a model's, like models/simple`,
    )
  }
  const golden = path === undefined ? undefined : { path, absolute: atol, relative: rtol }
  const limits = { memoryBytesMax: options.memoryMb * MIB, secondsMax: options.seconds }
  const of = { folder, golden, config, state }
  const report = options.here === true ? await probeHere(of) : await spawnProbe({ ...of, ...limits })
  print(JSON.stringify(report, undefined, 2))
  return report.fit
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
