import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { BUILD } from './app/build-info.ts'
import { EXIT, exitCodeOf } from './app/exit-codes.ts'
import { readEnvironment } from './config/environment.ts'
import { armCrashPoints } from './kit/crash-point.ts'
import { EdgeError } from './kit/errors.ts'

/** Arguments to a command. What a command needs is imported when it runs, so that `limpet version` is quick. */

const print = (line: string): void => void process.stdout.write(`${line}\n`)

function integerIn(least: number, most: number) {
  return (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`expected an integer from ${least} to ${most}`)
  }
}

const collect = (value: string, before: string[]): string[] => [...before, value]

const OPTIONS = {
  models: () => new Option('--models <dir>', 'model repository: NAME/VERSION/model.onnx').default('models'),
  host: () => new Option('--host <address>', 'address to listen on (default: http.host, 127.0.0.1)'),
  port: () =>
    new Option('--port <number>', 'port to listen on, 0 for any (default: http.port, 8000)').argParser(
      integerIn(0, 65_535),
    ),
  config: () => new Option('--config <file>', 'settings in TOML (default: LIMPET_CONFIG)'),
  state: () => new Option('--state <dir>', 'folder that outlives a restart (default: LIMPET_STATE)'),
  json: () => new Option('--json', 'print JSON for a script'),
}

function createProgram(): Command {
  const program = new Command('limpet')
    .description('Edge inference appliance: serves ONNX models to Triton and KServe clients')
    .version(BUILD.version, '--version')
    .showHelpAfterError('(see "limpet COMMAND --help")')
    .exitOverride()
  addServing(program)
  addLooking(program)
  return program
}

function addServing(program: Command): void {
  const serving = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .addOption(OPTIONS.models())
      .addOption(OPTIONS.host())
      .addOption(OPTIONS.port())
      .addOption(OPTIONS.config())
      .addOption(OPTIONS.state())

  serving('up', 'run the appliance: starts "serve", watches it, restarts it').action(
    async (options, command) => {
      const { runUp } = await import('./app/up.ts')
      const serveArgs = ['models', 'host', 'port', 'config', 'state'].flatMap((name) => {
        const value = command.getOptionValue(name)
        return value === undefined ? [] : [`--${name}`, String(value)]
      })
      await runUp({ config: options.config, serveArgs })
    },
  )

  serving('serve', 'serve models over HTTP').action(async (options) => {
    const { runServe } = await import('./app/serve.ts')
    await runServe(options, print)
  })
}

function addLooking(program: Command): void {
  program
    .command('infer')
    .description('ask a running server: an image, an audio file or JSON in, a readable answer out')
    .argument('<model>')
    .argument('[files...]', 'PNG, JPEG, WebP, BMP, GIF, WAV or .json; - reads JSON from standard input')
    .option('--url <url>', 'where the server is', 'http://127.0.0.1:8000')
    .option('--model-version <version>', 'a version instead of the latest')
    .option('--input <name=value>', 'an input by name: a file or JSON; may be repeated', collect, [])
    .addOption(new Option('--timeout-ms <number>').default(30_000).argParser(integerIn(1, 3_600_000)))
    .addOption(OPTIONS.json())
    .action(async (model, files, options) => {
      const { runInfer } = await import('./app/infer.ts')
      const { url, modelVersion, input, timeoutMs, json } = options
      await runInfer(
        { model, files, url, modelVersion, inputs: input, timeoutMs, json: json === true },
        print,
      )
    })

  program
    .command('doctor')
    .description('look at everything that serving needs, and say what is wrong and how to mend it')
    .addOption(new Option('--models <dir>', 'model repository to look at: each model is loaded'))
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .addOption(OPTIONS.json())
    .action(async (options) => {
      const { examine, printFindings } = await import('./app/doctor.ts')
      const isHealthy = printFindings(await examine(options), { json: options.json === true, print })
      process.exitCode = isHealthy ? EXIT.ok : EXIT.failed
    })

  program
    .command('version')
    .description('print the version')
    .addOption(OPTIONS.json())
    .action(({ json }) => print(json ? JSON.stringify(BUILD) : `limpet ${BUILD.version} (${BUILD.commit})`))
}

async function main(): Promise<void> {
  try {
    armCrashPoints(readEnvironment().crashAt)
    await createProgram().parseAsync(process.argv)
  } catch (error) {
    process.exitCode = describeFailure(error)
  }
  // Native threads and open handles must not keep a finished command alive.
  process.exit(process.exitCode ?? EXIT.ok)
}

/** The only place where a command's failure becomes words; a bug keeps its stack. */
function describeFailure(error: unknown): number {
  // Commander has printed its own message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  const words =
    error instanceof EdgeError ? error.message : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`limpet: ${words}\n`)
  return exitCodeOf(error)
}

await main()
