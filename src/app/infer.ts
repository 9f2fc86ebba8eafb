import { type Given, readInputOptions } from '../client/given.ts'
import { printJson } from '../client/json-text.ts'
import { fetchMetadata, type Metadata, type Target } from '../client/metadata.ts'
import { createPlan } from '../client/plan.ts'
import { toJson, writeLines } from '../client/report.ts'
import { collectResult, type Result } from '../client/result.ts'
import { runPlan } from '../client/run.ts'
import { openServer, type Server } from '../client/server.ts'
import { readSource, type SourceFile } from '../client/source-file.ts'
import { type Clock, systemClock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'

export interface InferOptions {
  readonly model: string
  /** `-` reads JSON from standard input. */
  readonly files: readonly string[]
  readonly url: string
  readonly modelVersion?: string | undefined
  /** `NAME=FILE` or `NAME=JSON`. */
  readonly inputs: readonly string[]
  readonly json: boolean
  /** For each request. */
  readonly timeoutMs: number
}

interface World {
  readonly clock: Clock
  readonly stdin: () => ReadableStream<Uint8Array>
}

const realWorld: World = { clock: systemClock, stdin: () => Bun.stdin.stream() }

interface Session {
  readonly server: Server
  readonly target: Target
  readonly model: Metadata
  readonly given: ReadonlyMap<string, Given>
}

/** `limpet infer MODEL [FILE…]`: each file is a run of its own; without one, the inputs given are the run. */
export async function runInfer(
  options: InferOptions,
  output: (line: string) => void,
  world: World = realWorld,
): Promise<void> {
  if (options.files.length === 0 && options.inputs.length === 0) {
    throw new EdgeError(
      'input_invalid',
      'Cannot infer without input: wanted FILE, "-" or --input NAME=FILE|JSON',
    )
  }
  const server = openServer({ url: options.url, timeoutMs: options.timeoutMs, clock: world.clock })
  const target: Target = { model: options.model, version: options.modelVersion }
  const given = await readInputOptions(options.inputs, world.stdin)
  const session = { server, target, given, model: await fetchMetadata(server, target) }

  const runs: unknown[] = []
  for (const path of options.files.length > 0 ? options.files : [undefined]) {
    const file = path === undefined ? undefined : await readSource(path, world.stdin)
    const result = await runFile(session, file)
    const title = { model: options.model, source: file?.name ?? 'inputs' }
    if (options.json) runs.push(toJson(title, result))
    else for (const line of writeLines(title, result)) output(line)
  }
  if (options.json) output(printJson({ model: options.model, runs }))
}

async function runFile(
  { server, target, model, given }: Session,
  file: SourceFile | undefined,
): Promise<Result> {
  const plan = await createPlan(model, file, given)
  return collectResult(model, plan, runPlan(server, target, plan))
}
