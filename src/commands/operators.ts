import type { Command } from 'commander'
import { addDeviceCommands } from './device.ts'
import { asOperator, integerIn, print } from './options.ts'

/** What an operator asks of a registry. */
export function addOperators(program: Command): void {
  asOperator(program.command('token').description('make a one-time token that enrols a device'))
    .option('--device <name>', 'what the device is to be called; it may choose where nobody does')
    .option('--hours <number>', 'how long it is good for', integerIn(1, 168), 24)
    .action(async (options) => {
      const { runToken } = await import('../app/operate.ts')
      await runToken({ ...options, json: options.json === true }, print)
    })
  asOperator(
    program.command('assign').description('say what a device should run; models that are not named stay'),
  )
    .argument('<target>', 'a device, or "all"')
    .argument('<models...>', 'FAMILY/NAME@VERSION')
    .option('--only', 'and nothing else: what is not named leaves the device', false)
    .option('--allow-downgrade', 'also to an older release than runs', false)
    .option(
      '--observe-seconds <number>',
      'how long the new version is watched before it counts',
      integerIn(0, 604_800),
    )
    .action(async (target, models, options) => {
      const { runAssign } = await import('../app/operate.ts')
      await runAssign(target, models, { ...options, json: options.json === true }, print)
    })
  const device = program.command('device').description('the devices of a registry, and what they run')
  addDeviceCommands(device)
  asOperator(device.command('list').description('each with what it runs')).action(async (options) => {
    const { runDeviceList } = await import('../app/operate.ts')
    await runDeviceList({ ...options, json: options.json === true }, print)
  })
  asOperator(device.command('show').description('its last report and its events'))
    .argument('<device>')
    .action(async (name, options) => {
      const { runDeviceShow } = await import('../app/operate.ts')
      await runDeviceShow(name, { ...options, json: options.json === true }, print)
    })
}
