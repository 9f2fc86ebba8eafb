import { type Command, Option } from 'commander'
import { integerIn, OPTIONS, print } from './options.ts'

const state = () => new Option('--state <dir>', 'its folder (default: "registry" within LIMPET_STATE)')
const port = (flag: string, words: string) =>
  new Option(`${flag} <number>`, words).argParser(integerIn(0, 65_535))

export function addRegistry(program: Command): void {
  const registry = program
    .command('registry')
    .description('the central side: holds signed models, says what devices should run, answers them')
    // So that "--state" after "broker-config" is that command's.
    .enablePositionalOptions()
    .addOption(state())
    .addOption(OPTIONS.host())
    .addOption(port('--port', 'port of its HTTP API, 0 for any (default: http.port, 8100)'))
    .addOption(port('--mqtt-port', 'port of its broker, 0 for any (default: mqtt.port, 1883)'))
    .option('--broker <url>', 'another MQTT broker than the one inside: mqtt:// or mqtts://')
    .option('--config <file>', 'settings in TOML')
    .option('--dev-keys', 'where there are no keys, make some that are good for nothing but trying out')
    .action(async (options) => {
      const { runRegistry } = await import('../app/registry.ts')
      await runRegistry({ ...options, devKeys: options.devKeys === true }, print)
    })
  addBrokerConfig(registry)
  addBackup(registry)
}

function addBackup(registry: Command): void {
  registry
    .command('backup')
    .description('copy a registry, which may be running, into one file: database, keys, metadata')
    .argument('<file>')
    .addOption(state())
    .option('--packs', 'with the packs, all bytes of all models')
    .option('--telemetry', 'with what devices have measured')
    .action(async (file, options) => {
      const { runBackup } = await import('../app/registry-backup.ts')
      const { state: folder, packs, telemetry } = options
      await runBackup(file, { state: folder, packs: packs === true, telemetry: telemetry === true }, print)
    })
  registry
    .command('restore')
    .description('make a registry out of a backup')
    .argument('<file>')
    .addOption(state())
    .option('--replace', 'put aside what is there; its packs and objects are taken over')
    .action(async (file, options) => {
      const { runRestore } = await import('../app/registry-backup.ts')
      await runRestore(file, { state: options.state, replace: options.replace === true }, print)
    })
}

function addBrokerConfig(registry: Command): void {
  registry
    .command('broker-config')
    .description('write what another broker needs to know of this registry and its devices')
    .argument('<kind>', 'mosquitto')
    .addOption(state())
    .requiredOption('--out <dir>', 'where to write it')
    .option('--listen <address>', 'host:port of the broker', '127.0.0.1:1883')
    .option('--prefix <topic>', 'mqtt.prefix of the registry', 'limpet/v1')
    .action(async (kind, options) => {
      const { runBrokerConfig } = await import('../app/broker-config.ts')
      await runBrokerConfig(kind, options, print)
    })
}
