/** The compiled binary as a server, with a config of its own for each check. */
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cleanEnvironment, startServing } from '../../test/kit/binary.ts'
import { floats, inferBinary } from '../../test/kit/v2.ts'
import { inputsOf } from '../bench-cases.ts'

export const MODELS = ['simple', 'text-orientation', 'text-detector'] as const

export interface Options {
  readonly binary: string
  readonly models: string
  /** ONNX Runtime's build for GPUs with all that it loads; undefined: only the library in the binary is there. */
  readonly libraries: string | undefined
  readonly seconds: number
  /** What is written meanwhile; removed by whoever made it. */
  readonly folder: string
}

export interface Served {
  readonly url: string
  /** From the start of the process until all its models serve. */
  readonly readyMs: number
  readonly metrics: () => Promise<string>
  /** What the index says of a model. */
  readonly reasonOf: (model: string) => Promise<string>
}

export interface Serving {
  /** Its state is kept under this name: a second start finds what the first has left. */
  readonly name: string
  /** TOML. */
  readonly settings: string
  /** What is added to the `config.toml` of a model. */
  readonly configs?: Readonly<Record<string, string>>
}

/** Serves, does something with it, and stops, whatever comes of it. */
export async function serving<T>(
  options: Options,
  { name, settings, configs = {} }: Serving,
  use: (served: Served) => Promise<T>,
): Promise<T> {
  const home = join(options.folder, name)
  const models = join(home, 'models')
  await mkdir(home, { recursive: true })
  for (const model of MODELS) {
    await cp(join(options.models, model), join(models, model), { recursive: true })
    const config = Bun.file(join(models, model, 'config.toml'))
    const before = (await config.exists()) ? await config.text() : ''
    const added = configs[model] ?? ''
    if (!before.startsWith(added)) await Bun.write(config, `${added}\n${before}`)
  }
  await Bun.write(join(home, 'config.toml'), settings)
  const began = performance.now()
  const server = await startServing(home, {
    command: [
      options.binary,
      'serve',
      '--models',
      models,
      '--port',
      '0',
      '--config',
      join(home, 'config.toml'),
    ],
    env: { ...cleanEnvironment(home), ...graphicsEnvironment(options.libraries) },
    // Engines may be built for minutes.
    slowness: 8,
  })
  const readyMs = performance.now() - began
  try {
    return await use({
      url: server.url,
      readyMs,
      metrics: async () => await (await fetch(`${server.url}/metrics`)).text(),
      reasonOf: (model) => reasonOf(server.url, model),
    })
  } finally {
    await server.stop()
  }
}

/** Where the libraries and the driver's parts are, as this process was told. */
function graphicsEnvironment(libraries: string | undefined): Record<string, string> {
  const own = process.env['LD_LIBRARY_PATH']
  const path = [...(libraries === undefined ? [] : [libraries]), ...(own === undefined ? [] : [own])]
  const passed = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'CUDA_VISIBLE_DEVICES', 'NVIDIA_VISIBLE_DEVICES']
  const kept = passed.flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(kept), ...(path.length > 0 && { LD_LIBRARY_PATH: path.join(':') }) }
}

async function reasonOf(url: string, model: string): Promise<string> {
  const answer = await fetch(`${url}/v2/repository/index`, { method: 'POST' })
  const index = (await answer.json()) as { name: string; reason?: string }[]
  return index.find(({ name }) => name === model)?.reason ?? ''
}

/** All numbers that a model answers its sample with. */
async function answerOf(url: string, model: string): Promise<readonly number[]> {
  const outputs = await inferBinary(url, model, inputsOf(model))
  return [...outputs.values()].flatMap((tensor) => [
    ...(tensor.datatype === 'INT32' ? new Int32Array(tensor.bytes.slice().buffer) : floats(tensor)),
  ])
}

export const answersOf = async (url: string) =>
  Object.fromEntries(
    await Promise.all(MODELS.map(async (model) => [model, await answerOf(url, model)] as const)),
  )

/** The samples of a metric by their labels. */
export function samplesOf(metrics: string, name: string): { labels: string; value: number }[] {
  return [...metrics.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'))].map(
    ([, labels = '', value]) => ({ labels, value: Number(value) }),
  )
}
