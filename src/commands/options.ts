import { type Command, InvalidArgumentError, Option } from 'commander'

/** What the commands have in common. */

export const print = (line: string): void => void process.stdout.write(`${line}\n`)

export function integerIn(least: number, most: number) {
  return (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`expected an integer from ${least} to ${most}`)
  }
}

export function share(text: string): number {
  const value = /^[0-9]*[.]?[0-9]+(e-?[0-9]+)?$/.test(text) ? Number(text) : Number.NaN
  if (value >= 0 && value <= 1000) return value
  throw new InvalidArgumentError('expected a number from 0 to 1000')
}

export const collect = (value: string, before: string[]): string[] => [...before, value]

export const OPTIONS = {
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

const registry = () =>
  new Option('--registry <url>', 'where the registry is').env('LIMPET_REGISTRY').makeOptionMandatory()

const apiKeyFile = () =>
  new Option('--api-key-file <file>', "its first line is the registry's key for this person").env(
    'LIMPET_API_KEY_FILE',
  )

export const caFile = () =>
  new Option(
    '--ca-file <file>',
    "authority of the registry's certificate, as PEM (default: the system's)",
  ).env('LIMPET_CA_FILE')

/** What a command needs that only an operator may give. */
export function asOperator(command: Command): Command {
  return command
    .addOption(registry())
    .addOption(apiKeyFile().makeOptionMandatory())
    .addOption(caFile())
    .addOption(OPTIONS.json())
}

/** What a command needs that speaks to a registry as a person. */
export function toRegistry(command: Command): Command {
  return command
    .addOption(registry())
    .addOption(apiKeyFile())
    .addOption(caFile())
    .option(
      '--root <file>',
      'where trust in this registry begins: the root.json of the ceremony; wanted once',
    )
    .addOption(OPTIONS.state())
}

export function signing(command: Command): Command {
  return toRegistry(command)
    .addOption(
      new Option('--key <file>', "the publisher's key").env('LIMPET_PUBLISHER_KEY').makeOptionMandatory(),
    )
    .option('--passphrase-file <file>', 'its first line opens the key')
}
