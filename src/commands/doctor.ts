import { type Command, Option } from 'commander'
import { integerIn, OPTIONS, print } from './options.ts'

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'look at everything that serving needs, and say what is wrong and how to mend it; changes nothing',
    )
    .addOption(new Option('--models <dir>', 'model repository to look at: each model is loaded'))
    .option('--bundle <file>', 'write what support needs to see, a .tar.gz without secrets')
    .addOption(
      new Option('--seconds <number>', 'that one look may take').default(8).argParser(integerIn(1, 600)),
    )
    .option('--offline', 'ask nobody over the network', false)
    .addOption(
      new Option('--by-loading', 'the part that loads libraries and models').default(false).hideHelp(),
    )
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .addOption(OPTIONS.json())
    .action(async (options) => {
      const { runDoctor } = await import('../app/doctor/doctor.ts')
      process.exitCode = await runDoctor({ ...options, json: options.json === true }, print)
    })
}
