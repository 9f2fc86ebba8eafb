import { Command, CommanderError, Option } from 'commander'
import { BUILD } from './app/build-info.ts'
import { EXIT, exitCodeOf } from './app/exit-codes.ts'
import { addAgent } from './commands/agent.ts'
import { addAudit } from './commands/audit.ts'
import { addBundles } from './commands/bundles.ts'
import { addDoctor } from './commands/doctor.ts'
import { addHealth } from './commands/health.ts'
import { addKeys } from './commands/keys.ts'
import { addModels } from './commands/models.ts'
import { addOperators } from './commands/operators.ts'
import { collect, integerIn, OPTIONS, print, share } from './commands/options.ts'
import { addRegistry } from './commands/registry.ts'
import { addRollouts } from './commands/rollouts.ts'
import { addTuf } from './commands/tuf.ts'
import { readEnvironment } from './config/environment.ts'
import { armCrashPoints } from './kit/crash-point.ts'
import { EdgeError } from './kit/errors.ts'
import { logForJournal } from './kit/log.ts'

/** Arguments to a command. What a command needs is imported when it runs, so that `limpet version` is quick. */

function createProgram(): Command {
  const program = new Command('limpet')
    .description('Edge inference appliance: serves ONNX models to Triton and KServe clients')
    .version(BUILD.version, '--version')
    // What stands after a command is that command's, at every level.
    .enablePositionalOptions()
    .showHelpAfterError('(see "limpet COMMAND --help")')
    .exitOverride()
  addServing(program)
  addLooking(program)
  addHealth(program)
  addKeys(program)
  addModels(program)
  addBundles(program)
  addOperators(program)
  addAudit(program)
  addRollouts(program)
  addTuf(program)
  addDevice(program)
  addRegistry(program)
  addAgent(program)
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

  serving(
    'up',
    'run the appliance: starts "serve" and, once enrolled, "agent"; watches them, restarts them',
  ).action(async (options, command) => {
    const { runUp } = await import('./app/up.ts')
    const serveArgs = ['host', 'port', 'config', 'state'].flatMap((name) => {
      const value = command.getOptionValue(name)
      return value === undefined ? [] : [`--${name}`, String(value)]
    })
    const isGiven = command.getOptionValueSource('models') === 'cli'
    await runUp({ ...options, models: isGiven ? options.models : undefined, serveArgs })
  })

  serving('serve', 'serve models over HTTP')
    .addOption(new Option('--unix-socket <path>', 'a socket to answer on as well').hideHelp())
    .action(async (options) => {
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
    .command('replay')
    .description('ask a running server again what was captured, and say how the answers differ')
    .argument('<file>', 'of captured requests, gzipped or not')
    .option('--url <url>', 'where the server is', 'http://127.0.0.1:8000')
    .option('--model <name>', 'instead of the one that was asked then')
    .addOption(new Option('--timeout-ms <number>').default(30_000).argParser(integerIn(1, 3_600_000)))
    .addOption(OPTIONS.json())
    .action(async (file, options) => {
      const { runReplay } = await import('./app/replay.ts')
      process.exitCode = await runReplay(file, { ...options, json: options.json === true }, print)
    })

  addDoctor(program)

  program
    .command('version')
    .description('print the version')
    .addOption(OPTIONS.json())
    .action(({ json }) => {
      const { version, commit } = BUILD
      print(json ? JSON.stringify({ version, commit }) : `limpet ${version} (${commit})`)
    })
}

/** What a device does to keep its models in step with the registry, and what a person there may want to know. */
function addDevice(program: Command): void {
  program
    .command('probe')
    .description(
      'prove one version in a process of its own: it loads, answers its golden samples, and how fast',
    )
    .argument('<folder>', 'of the model, with one version in it')
    .option('--golden <path>', 'folder of the samples, within the model folder')
    .addOption(new Option('--atol <number>', 'how far an answer may be off').default(0.001).argParser(share))
    .addOption(new Option('--rtol <number>', 'the same, of what is expected').default(0.001).argParser(share))
    .addOption(new Option('--memory-mb <number>').default(4096).argParser(integerIn(64, 1_048_576)))
    .addOption(new Option('--seconds <number>').default(600).argParser(integerIn(1, 86_400)))
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .addOption(new Option('--here', 'in this process, without limits').hideHelp())
    .action(async (folder, options) => {
      const { runProbe } = await import('./app/run-probe.ts')
      process.exitCode = (await runProbe({ folder, ...options }, print)) ? EXIT.ok : EXIT.failed
    })
}

async function main(): Promise<void> {
  try {
    const { crashAt, isToJournal } = readEnvironment()
    if (isToJournal) logForJournal()
    armCrashPoints(crashAt)
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

// Without these Bun says what nobody caught and goes on, for as long as `await main()` lasts: half a process, which neither
// works nor is started again.
for (const kind of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(kind, (error) => process.exit(describeFailure(error)))
// Whoever read what is printed has gone (`| head -1`): no reason to stop serving.
process.stdout.on('error', () => undefined)
await main()
