import { type Command, Option } from 'commander'
import { OPTIONS, print } from './options.ts'

/** The control plane, and what a person at the device asks of it. */
export function addAgent(program: Command): void {
  program
    .command('enrol')
    .description('make this device one of a registry, with a one-time token that an operator has made')
    .requiredOption('--registry <url>', 'where the registry answers')
    .addOption(new Option('--token <token>', 'worth one device, once').env('LIMPET_TOKEN'))
    .option('--token-file <file>', 'its first line is the token, which nobody sees then; - is standard input')
    .option('--device <name>', 'what it is to be called; the registry chooses where nobody does')
    .option('--again', 'also when it is enrolled already', false)
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .action(async (options) => {
      const { runEnrol } = await import('../app/enrol.ts')
      await runEnrol(options, print)
    })

  program
    .command('agent')
    .description('keep the models in step with the registry; "up" starts it')
    .option('--built-in <dir>', 'models that serve until the registry has assigned others')
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .action(async (options) => {
      const { runAgent } = await import('../app/agent.ts')
      await runAgent(options)
    })

  program
    .command('status')
    .description('what runs on this device, what is on its way, and what stood in the way')
    .addOption(OPTIONS.state())
    .addOption(OPTIONS.json())
    .action(async ({ state, json }) => {
      const { runStatus } = await import('../app/status.ts')
      await runStatus({ state, json: json === true }, print)
    })

  const order = (name: 'approve' | 'retry', description: string) =>
    program
      .command(name)
      .description(description)
      .argument('<model>', 'like vision/yolo')
      .addOption(OPTIONS.state())
      .action(async (model, { state }) => {
        const { orderAgent } = await import('../app/status.ts')
        await orderAgent(name, { model, state })
      })
  order('approve', 'let an update switch that waits for a person')
  order('retry', 'forget what is held against the versions of a model, and try again what is assigned')
}
