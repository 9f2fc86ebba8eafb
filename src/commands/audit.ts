import type { Command } from 'commander'
import { asOperator, integerIn, print } from './options.ts'

export function addAudit(program: Command): void {
  asOperator(
    program.command('audit').description('who has changed what at a registry, from where, and how it ended'),
  )
    .option('--subject <name>', 'only what is about this device, assignment, rollout or key')
    .option('--count <number>', 'at most so many', integerIn(1, 1000), 100)
    .option(
      '--after <number>',
      'those after this one, instead of the newest',
      integerIn(0, Number.MAX_SAFE_INTEGER),
    )
    .action(async (options) => {
      const { runAudit } = await import('../app/audit.ts')
      await runAudit({ ...options, json: options.json === true }, print)
    })
}
