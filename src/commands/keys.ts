import { type Command, Option } from 'commander'
import { caFile, collect, integerIn, print } from './options.ts'

export function addKeys(program: Command): void {
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
      const { runKeysInit } = await import('../app/keys.ts')
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
      .addOption(caFile())

  changing('rotate', 'another key for a role: root, targets, snapshot, timestamp, director, or a family')
    .argument('<role>')
    .action(async (what, options) => {
      const { runKeyChange } = await import('../app/keys.ts')
      await runKeyChange({ do: 'rotate', what }, options, print)
    })
  changing('renew', 'sign a role anew, for longer: root, targets, or a family')
    .argument('<role>')
    .action(async (what, options) => {
      const { runKeyChange } = await import('../app/keys.ts')
      await runKeyChange({ do: 'renew', what }, options, print)
    })
  changing('add-publisher', 'a model family with a key of its own')
    .argument('<family>')
    .action(async (family, options) => {
      const { runKeyChange } = await import('../app/keys.ts')
      await runKeyChange({ do: 'add-publisher', family }, options, print)
    })
  changing('sign-root', 'add the signatures of the root keys at hand to a root that waits for them').action(
    async (options) => {
      const { runKeyChange } = await import('../app/keys.ts')
      await runKeyChange({ do: 'sign-root' }, options, print)
    },
  )
}
