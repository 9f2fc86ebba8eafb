import type { Command } from 'commander'
import { collect, OPTIONS, print, toRegistry } from './options.ts'

export function addBundles(program: Command): void {
  const bundle = program
    .command('bundle')
    .description('signed versions in one file, for a site without a network')
  toRegistry(bundle.command('export').description('write versions and all that a device needs to trust them'))
    .argument('<file>')
    .option('--model <family/name@version>', 'a version to put in; may be repeated', collect, [])
    .option('--device <id>', 'a device whose assignment goes along; may be repeated', collect, [])
    .action(async (file, options) => {
      const { runBundleExport } = await import('../app/bundle.ts')
      await runBundleExport(file, options, print)
    })
  bundle
    .command('import')
    .description('at the device: hold a bundle against what the device trusts, and let the agent take it')
    .argument('<file>')
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .action(async (file, options) => {
      const { runBundleImport } = await import('../app/bundle.ts')
      await runBundleImport(file, options, print)
    })
}
