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

function share(text: string): number {
  const value = /^[0-9]*[.]?[0-9]+(e-?[0-9]+)?$/.test(text) ? Number(text) : Number.NaN
  if (value >= 0 && value <= 1000) return value
  throw new InvalidArgumentError('expected a number from 0 to 1000')
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
  addKeys(program)
  addTuf(program)
  addDevice(program)
  addRegistry(program)
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
    .action(({ json }) => {
      const { version, commit } = BUILD
      print(json ? JSON.stringify({ version, commit }) : `limpet ${version} (${commit})`)
    })
}

function addKeys(program: Command): void {
  const keys = program.command('keys').description('make and change the keys that say what may run')
  const passphraseFile = () =>
    new Option('--passphrase-file <file>', "its first line encrypts the offline and publishers' keys")
  keys
    .command('init')
    .description(
      'make all keys and the first signed metadata of a fleet, and say what is to be done with them',
    )
    .requiredOption('--out <dir>', 'a new folder for them')
    .option('--family <name>', 'a model family with a publisher of its own; may be repeated', collect, [])
    .addOption(new Option('--root-keys <number>').default(3).argParser(integerIn(1, 16)))
    .addOption(
      new Option('--root-threshold <number>', 'so many root keys have to sign')
        .default(2)
        .argParser(integerIn(1, 16)),
    )
    .addOption(passphraseFile())
    .action(async (options) => {
      const { runKeysInit } = await import('./app/keys.ts')
      await runKeysInit(options, print)
    })

  const changing = (name: string, description: string) =>
    keys
      .command(name)
      .description(description)
      .requiredOption('--dir <dir>', 'the folder that "keys init" made')
      .option('--key <file>', 'a key that is not in the folder; may be repeated', collect, [])
      .addOption(passphraseFile())
      .option('--registry <url>', 'a registry that runs (default: the registry folder within DIR)')
      .option('--api-key-file <file>', "its first line is the registry's key for an operator or publisher")

  changing('rotate', 'another key for a role: root, targets, snapshot, timestamp, director, or a family')
    .argument('<role>')
    .action(async (what, options) => {
      const { runKeyChange } = await import('./app/keys.ts')
      await runKeyChange({ do: 'rotate', what }, options, print)
    })
  changing('renew', 'sign a role anew, for longer: root, targets, or a family')
    .argument('<role>')
    .action(async (what, options) => {
      const { runKeyChange } = await import('./app/keys.ts')
      await runKeyChange({ do: 'renew', what }, options, print)
    })
  changing('add-publisher', 'a model family with a key of its own')
    .argument('<family>')
    .action(async (family, options) => {
      const { runKeyChange } = await import('./app/keys.ts')
      await runKeyChange({ do: 'add-publisher', family }, options, print)
    })
  changing('sign-root', 'add the signatures of the root keys at hand to a root that waits for them').action(
    async (options) => {
      const { runKeyChange } = await import('./app/keys.ts')
      await runKeyChange({ do: 'sign-root' }, options, print)
    },
  )
}

/** The command line that tuf-conformance wants of a client: options first. Not for people, so it is not listed. */
function addTuf(program: Command): void {
  const tuf = program
    .command('tuf', { hidden: true })
    .requiredOption('--metadata-dir <dir>')
    .option('--metadata-url <url>')
    .option('--target-name <path>')
    .option('--target-base-url <url>')
    .option('--target-dir <dir>')
  tuf.command('init <root>').action(async (root) => {
    const { runTufInit } = await import('./app/tuf.ts')
    await runTufInit(root, tuf.opts())
  })
  tuf.command('refresh').action(async () => {
    const { runTufRefresh } = await import('./app/tuf.ts')
    await runTufRefresh(tuf.opts())
  })
  tuf.command('download').action(async () => {
    const { runTufDownload } = await import('./app/tuf.ts')
    await runTufDownload(tuf.opts())
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

function addRegistry(program: Command): void {
  program
    .command('registry')
    .description('the central side: holds signed models, says what devices should run, answers them')
    .addOption(new Option('--state <dir>', 'its folder (default: "registry" within LIMPET_STATE)'))
    .addOption(OPTIONS.host())
    .addOption(
      new Option('--port <number>', 'port of its HTTP API, 0 for any (default: http.port, 8100)').argParser(
        integerIn(0, 65_535),
      ),
    )
    .addOption(
      new Option(
        '--mqtt-port <number>',
        'port of its broker, 0 for any (default: mqtt.port, 1883)',
      ).argParser(integerIn(0, 65_535)),
    )
    .addOption(new Option('--broker <url>', 'another MQTT broker than the one inside: mqtt:// or mqtts://'))
    .addOption(OPTIONS.config())
    .addOption(
      new Option('--dev-keys', 'where there are no keys, make some that are good for nothing but trying out'),
    )
    .action(async (options) => {
      const { runRegistry } = await import('./app/registry.ts')
      await runRegistry({ ...options, devKeys: options.devKeys === true }, print)
    })
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
