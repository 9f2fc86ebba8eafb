import { Command } from 'commander'
import { asOperator, print } from './options.ts'

/** Which devices get what, and when. */
export function addRollouts(program: Command): void {
  addDeviceTag(program.commands.find((command) => command.name() === 'device') ?? new Command())
}

function addDeviceTag(device: Command): void {
  asOperator(device.command('tag').description('write on a device what rollouts select it by'))
    .argument('<device>')
    .argument('[tags...]', 'NAME=VALUE; NAME= takes it away; the others stay')
    .action(async (name, tags, options) => {
      const { runDeviceTag } = await import('../app/rollout-devices.ts')
      await runDeviceTag(name, tags, { ...options, json: options.json === true }, print)
    })
}
