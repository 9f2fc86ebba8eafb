import { type Command, Option } from 'commander'
import { integerIn, OPTIONS, print } from './options.ts'

export function addHealth(program: Command): void {
  program
    .command('health')
    .description('ask whether it serves: exit code 0 yes, 1 not yet, 69 nobody answers')
    .addOption(new Option('--url <url>', 'of the server (default: as the config says)').conflicts(['socket']))
    .option('--socket <path>', 'ask on a socket in the file system')
    .option('--live', 'only whether it is alive, also while models are loading', false)
    .addOption(new Option('--registry', 'ask a registry').default(false).conflicts(['live']))
    .addOption(
      new Option('--wait-seconds <number>', 'ask again so long').default(0).argParser(integerIn(0, 86_400)),
    )
    .addOption(new Option('--timeout-ms <number>').default(5_000).argParser(integerIn(1, 3_600_000)))
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .action(async (options) => {
      const { runHealth } = await import('../app/health.ts')
      process.exitCode = await runHealth(options, print)
    })
}
