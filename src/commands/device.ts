import { type Command, Option } from 'commander'
import { asOperator, integerIn, print } from './options.ts'

const EXPIRES_MAX = 600

/** What is asked of a device from afar; below `limpet device`. */
export function addDeviceCommands(device: Command): void {
  asOperator(
    device
      .command('command')
      .description(
        'ask a device for something: identify, logs, restart_serve, rebirth, diagnostics, capture',
      ),
  )
    .argument('<device>')
    .argument('<op>')
    .argument('[given...]', 'what goes with it, like seconds=5')
    .addOption(expires())
    .option('--no-wait', 'do not wait for how it ends')
    .option('--out <file>', 'where to write what the device brings together for it')
    .action(async (name, op, given, options) => {
      const { runDeviceCommand } = await import('../app/device-command.ts')
      const of = { device: name, op, given }
      process.exitCode = await runDeviceCommand(of, { ...options, json: options.json === true }, print)
    })
  asOperator(device.command('logs').description('the last lines that the processes of a device have logged'))
    .argument('<device>')
    .option('--lines <number>', 'at most so many', integerIn(1, 2000), 200)
    .addOption(new Option('--process <name>', 'only of this one').choices(['up', 'serve', 'agent']))
    .addOption(expires())
    .action(async (name, options) => {
      const { runDeviceLogs } = await import('../app/device-command.ts')
      process.exitCode = await runDeviceLogs(name, { ...options, json: options.json === true }, print)
    })
}

const expires = () =>
  new Option('--expires-seconds <number>', 'after so long it is not done any more')
    .default(60)
    .argParser(integerIn(1, EXPIRES_MAX))
