import { Command, Option } from 'commander'
import { asOperator, collect, integerIn, print } from './options.ts'

const ACTS = {
  approve: 'say yes to a draft that somebody else has made',
  pause: 'let nobody begin; who has begun goes on',
  resume: 'go on; a wave that ended short of what was expected is accepted',
  abort: 'take it back from devices that do not serve it yet',
  revert: 'bring the devices that serve it back too',
} as const

/** Which devices get what, and when. */
export function addRollouts(program: Command): void {
  const rollout = program.command('rollout').description('bring a version to many devices, wave by wave')
  const plan = rollout.command('plan').description('say who would come when, and do nothing')
  described(plan, 'FAMILY/NAME@VERSION').action(async (named, options) => {
    const { runRolloutPlan } = await import('../app/rollouts.ts')
    await runRolloutPlan(named, optionsOf(options), print)
  })
  const start = rollout.command('start').description('start a draft, or a rollout of a version')
  described(start, 'FAMILY/NAME@VERSION, or the id of a draft').action(async (named, options) => {
    const { runRolloutStart } = await import('../app/rollouts.ts')
    await runRolloutStart(named, optionsOf(options), print)
  })
  addLooking(rollout)
  for (const [action, words] of Object.entries(ACTS)) addAct(rollout, { action, words })
  addOfDevices(program.commands.find((command) => command.name() === 'device') ?? new Command())
}

// biome-ignore lint/suspicious/noExplicitAny: commander's own type of options that were collected at run time
type Given = any

function optionsOf(options: Given) {
  return {
    ...options,
    json: options.json === true,
    allowDowngrade: options.allowDowngrade === true,
    secondPerson: options.secondPerson === true,
  }
}

function described(command: Command, named: string): Command {
  const percent = (flag: string, words: string) =>
    new Option(`${flag} <number>`, words).argParser(integerIn(0, 100))
  const whole = (flag: string, words: string, most = 1_000_000) =>
    new Option(`${flag} <number>`, words).argParser(integerIn(0, most))
  return asOperator(command)
    .argument('<rollout>', named)
    .option('--file <file>', 'what stands here and more, as JSON; what is said here counts before it')
    .option('--selector <text>', 'which devices: tag.site=berlin and hardware=jetson-* (default: all)')
    .option(
      '--wave <what>',
      'a share (10%), a number, or names (cam-01,cam-02); may be repeated',
      collect,
      [],
    )
    .addOption(whole('--soak-seconds', 'for the waves given here: how long nothing may go wrong', 2_592_000))
    .addOption(percent('--success-percent', 'for the waves given here: how many have to serve it'))
    .addOption(percent('--failure-percent', 'above this rate of failures, for certain, it is aborted'))
    .addOption(whole('--failures-min', 'but not for fewer failures than this'))
    .addOption(new Option('--on-abort <what>', 'what then').choices(['stop', 'revert']))
    .addOption(whole('--starts-per-minute', 'devices that begin in a minute'))
    .addOption(whole('--downloads', 'devices that download at once'))
    .addOption(whole('--observe-seconds', 'how long each device watches the version', 604_800))
    .option('--previous <version>', 'what a revert goes back to (default: what each would run otherwise)')
    .option('--allow-downgrade', 'also to an older release than runs')
    .option('--second-person', 'somebody else has to approve it')
}

function addLooking(rollout: Command): void {
  asOperator(rollout.command('list').description('all of them, the newest first')).action(async (options) => {
    const { runRolloutList } = await import('../app/rollouts.ts')
    await runRolloutList({ ...options, json: options.json === true }, print)
  })
  asOperator(rollout.command('show').description('how it stands, and how it came to that'))
    .argument('<id>')
    .action(async (id, options) => {
      const { runRolloutShow } = await import('../app/rollouts.ts')
      await runRolloutShow(id, { ...options, json: options.json === true }, print)
    })
  asOperator(rollout.command('watch').description('until it has ended; fails where it was not done'))
    .argument('<id>')
    .action(async (id, options) => {
      const { runRolloutWatch } = await import('../app/rollouts.ts')
      const { EXIT } = await import('../app/exit-codes.ts')
      const to = { print, isTerminal: process.stdout.isTTY === true }
      const isDone = await runRolloutWatch(id, { ...options, json: options.json === true }, to)
      process.exitCode = isDone ? EXIT.ok : EXIT.failed
    })
}

function addAct(rollout: Command, { action, words }: { action: string; words: string }): void {
  asOperator(rollout.command(action).description(words))
    .argument('<id>')
    .option('--reason <text>', 'why: it stands beside what was done')
    .action(async (id, options) => {
      const { runRolloutAct } = await import('../app/rollouts.ts')
      await runRolloutAct(
        id,
        action,
        { ...options, reason: options.reason, json: options.json === true },
        print,
      )
    })
}

function addOfDevices(device: Command): void {
  asOperator(device.command('tag').description('write on a device what rollouts select it by'))
    .argument('<device>')
    .argument('[tags...]', 'NAME=VALUE; NAME= takes it away; the others stay')
    .action(async (name, tags, options) => {
      const { runDeviceTag } = await import('../app/rollout-devices.ts')
      await runDeviceTag(name, tags, { ...options, json: options.json === true }, print)
    })
  asOperator(device.command('explain').description('what it should run, and because of which word'))
    .argument('<device>')
    .action(async (name, options) => {
      const { runDeviceExplain } = await import('../app/rollout-devices.ts')
      await runDeviceExplain(name, { ...options, json: options.json === true }, print)
    })
}
