import type { Command } from 'commander'

/** The command line that tuf-conformance wants of a client: options first. Not for people, so it is not listed. */
export function addTuf(program: Command): void {
  const tuf = program
    .command('tuf', { hidden: true })
    .requiredOption('--metadata-dir <dir>')
    .option('--metadata-url <url>')
    .option('--target-name <path>')
    .option('--target-base-url <url>')
    .option('--target-dir <dir>')
  tuf.command('init <root>').action(async (root) => {
    const { runTufInit } = await import('../app/tuf.ts')
    await runTufInit(root, tuf.opts())
  })
  tuf.command('refresh').action(async () => {
    const { runTufRefresh } = await import('../app/tuf.ts')
    await runTufRefresh(tuf.opts())
  })
  tuf.command('download').action(async () => {
    const { runTufDownload } = await import('../app/tuf.ts')
    await runTufDownload(tuf.opts())
  })
}
