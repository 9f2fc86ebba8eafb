import { basename, dirname, join, resolve } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { childEnvironment, readEnvironment } from '../config/environment.ts'
import { Ensembles } from '../inference/ensemble/ensembles.ts'
import type { Lane } from '../inference/lane.ts'
import { Lanes } from '../inference/lanes.ts'
import { systemClock } from '../kit/clock.ts'
import { makeFolderDurably, writeDurably } from '../kit/durable-file.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { setLogLevel } from '../kit/log.ts'
import { GOLDEN_FILES } from '../ota/golden.ts'
import type { Tensor } from '../runtime/backend.ts'
import { randomInput, SeededNumbers } from './golden-inputs.ts'
import { readGoldenInputs, toElements } from './golden-tensors.ts'
import { ModelRepository } from './model-repository.ts'
import { ownCommand } from './own-command.ts'
import { openBackend } from './runtime.ts'

export interface MakeGoldenOptions {
  /** Of the model, with exactly one version in it. */
  readonly folder: string
  readonly samples: number
  readonly seed: number
  readonly config: string | undefined
  readonly state: string | undefined
}

/** What open dimensions may have to be: text models want a few, image models hundreds that 32 divides. */
const OPEN_SIZES = [64, 32, 16, 8, 1, 128, 224, 256, 320, 512, 640]

/** Has the samples made in a process of their own: a model that ends it is a message, not a crash. */
export async function spawnMakeGolden(options: MakeGoldenOptions): Promise<void> {
  const { folder, samples, seed, config, state } = options
  const child = Bun.spawn(
    [
      ...ownCommand(),
      ...['model', 'make-golden', folder, '--samples', String(samples), '--seed', String(seed)],
      ...(config === undefined ? [] : ['--config', config]),
      ...(state === undefined ? [] : ['--state', state]),
    ],
    {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      env: childEnvironment({ ORT_DISABLE_TELEMETRY: '1', ORT_TELEMETRY_DISABLED: '1' }),
    },
  )
  const words = await new Response(child.stderr).text()
  await child.exited
  if (child.exitCode === 0) return
  const how = child.signalCode === null ? `exit code ${child.exitCode}` : `signal ${child.signalCode}`
  const last = words.trim().split('\n').at(-1) ?? ''
  throw new EdgeError(
    'model_invalid',
    `Cannot make golden samples for "${folder}": ${last === '' ? how : last}`,
  )
}

/** What ONNX Runtime answers here: to the inputs in the folder, or to inputs of chance, the same for the same seed. */
export async function makeGoldenHere(options: MakeGoldenOptions): Promise<void> {
  setLogLevel('error')
  const folder = resolve(options.folder)
  const environment = readEnvironment()
  const config = await loadConfig(options.config ?? environment.config)
  const backend = await openBackend({ config, state: options.state ?? environment.state })
  const lanes = new Lanes({ backend, clock: systemClock, runsMax: 1 })
  const repository = new ModelRepository({
    root: dirname(folder),
    lanes,
    ensembles: new Ensembles({ lanes, clock: systemClock }),
    queueItemsMax: 1,
    warmUpMsMax: config.models.warmup_seconds_max * 1000,
  })
  const statuses = await repository.load(basename(folder))
  const [lane] = lanes.ready(basename(folder))
  if (lane === undefined) throw refuse(folder, statuses.map(({ reason }) => reason).join('; '))
  const isGiven = await Bun.file(join(folder, 'golden', GOLDEN_FILES.inputs)).exists()
  const made = isGiven ? await answerGiven(lane, join(folder, 'golden')) : await makeSamples(lane, options)
  await makeFolderDurably(join(folder, 'golden'))
  await writeJson(
    join(folder, 'golden', GOLDEN_FILES.inputs),
    made.map(({ inputs }) => inputs),
  )
  await writeJson(
    join(folder, 'golden', GOLDEN_FILES.outputs),
    made.map(({ outputs }) => outputs),
  )
  await lanes.close()
  await backend.stop()
}

interface Made {
  readonly inputs: readonly object[]
  readonly outputs: readonly object[]
}

async function answerGiven(lane: Lane, golden: string): Promise<Made[]> {
  const made: Made[] = []
  for (const inputs of await readGoldenInputs(golden)) made.push(await answer(lane, inputs))
  return made
}

/** With the first size of open dimensions that the model takes. */
async function makeSamples(lane: Lane, { folder, samples, seed }: MakeGoldenOptions): Promise<Made[]> {
  const isOpen = lane.session.signature.inputs.some(({ shape }) => shape?.slice(1).includes(-1) ?? true)
  let reason = ''
  for (const open of isOpen ? OPEN_SIZES : [1]) {
    const numbers = new SeededNumbers(seed)
    try {
      const made: Made[] = []
      for (let sample = 0; sample < samples; sample += 1) made.push(await makeOne(lane, { open, numbers }))
      return made
    } catch (error) {
      reason = messageOf(error)
    }
  }
  throw refuse(
    folder,
    `${reason}; give inputs that it takes in golden/inputs.json, and the answers are made for them`,
  )
}

async function makeOne(lane: Lane, from: { open: number; numbers: SeededNumbers }): Promise<Made> {
  const wanted = lane.session.signature.inputs.filter(({ isOptional }) => !isOptional)
  return await answer(
    lane,
    wanted.map((spec) => randomInput(spec, from)),
  )
}

async function answer(lane: Lane, inputs: readonly Tensor[]): Promise<Made> {
  const result = await lane.infer({ inputs, outputs: undefined, signal: undefined })
  try {
    for (const output of result.outputs) requireFinite(output)
    return { inputs: inputs.map(toJson), outputs: result.outputs.map(toJson) }
  } finally {
    result.release()
  }
}

/** NaN is an answer that nothing can be held against. */
function requireFinite(output: Tensor): void {
  const { values } = toElements(output)
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index]
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new EdgeError(
        'model_invalid',
        `the output "${output.name}" holds ${value} at ${index} for inputs of chance`,
      )
    }
  }
}

function toJson({ name, datatype, shape, bytes }: Tensor): object {
  return { name, datatype, shape, b64: Buffer.from(bytes).toString('base64') }
}

async function writeJson(path: string, samples: readonly (readonly object[])[]): Promise<void> {
  await writeDurably(path, Buffer.from(`${JSON.stringify(samples)}\n`))
}

function refuse(folder: string, what: string): EdgeError {
  return new EdgeError('model_invalid', `Cannot make golden samples for "${folder}": ${what}`)
}
