import { type Command, Option } from 'commander'
import { collect, integerIn, OPTIONS, print, share, signing, toRegistry } from './options.ts'

export function addModels(program: Command): void {
  const model = program.command('model').description('publish models, and look at what is published')
  addPush(model)
  toRegistry(model.command('list').description('every version that publishers have signed'))
    .addOption(OPTIONS.json())
    .action(async (options) => {
      const { runModelList } = await import('../app/model-list.ts')
      await runModelList({ ...options, json: options.json === true }, print)
    })
  toRegistry(model.command('show').description('what one version is made of'))
    .argument('<model>', 'like vision/yolo')
    .argument('<version>')
    .addOption(OPTIONS.json())
    .action(async (name, version, options) => {
      const { runModelShow } = await import('../app/model-list.ts')
      await runModelShow({ model: name, version }, { ...options, json: options.json === true }, print)
    })
  toRegistry(
    model.command('verify').description('fetch every byte of a version, and hold it against what was signed'),
  )
    .argument('<model>')
    .argument('<version>')
    .action(async (name, version, options) => {
      const { runModelVerify } = await import('../app/model-list.ts')
      await runModelVerify({ model: name, version }, options, print)
    })
  signing(model.command('remove').description('sign that a version is to be taken by no device any more'))
    .argument('<model>')
    .argument('<version>')
    .action(async (name, version, options) => {
      const { runModelRemove } = await import('../app/model-list.ts')
      await runModelRemove({ model: name, version }, options, print)
    })
  signing(
    model
      .command('floor')
      .description('sign that releases under this one are not safe, whoever assigns them'),
  )
    .argument('<model>')
    .argument('<release>', 'a release number', integerIn(1, 2 ** 40))
    .action(async (name, release, options) => {
      const { runModelFloor } = await import('../app/model-list.ts')
      await runModelFloor({ model: name, release }, options, print)
    })
}

function addPush(model: Command): void {
  const several = (flags: string, what: string) => new Option(flags, what).argParser(collect).default([])
  const whole = (flags: string, what: string, most: number) =>
    new Option(flags, what).argParser(integerIn(1, most))
  signing(
    model.command('push').description('check a version, upload what the registry lacks of it, and sign it'),
  )
    .argument('<dir>', 'a model folder, like models/simple')
    .requiredOption('--family <name>', 'the family that it is published in')
    .option('--name <name>', "the model's name (default: the folder's)")
    .option('--model-version <version>', 'which version, where the folder holds several')
    .addOption(whole('--release <number>', 'orders versions (default: one more than the newest)', 2 ** 40))
    .addOption(whole('--make-golden <number>', 'make so many golden samples with ONNX Runtime first', 64))
    .addOption(whole('--seed <number>', 'for the inputs of golden samples', 2 ** 31).default(1))
    .addOption(
      new Option('--atol <number>', 'how far a golden answer may be off').default(0.001).argParser(share),
    )
    .addOption(
      new Option('--rtol <number>', 'the same, as a share of the answer').default(0.001).argParser(share),
    )
    .option('--variant-name <name>', 'what the variant in DIR is called', 'default')
    .addOption(several('--variant <name:dir>', 'another variant of the version; may be repeated'))
    .addOption(several('--hardware <name:list>', 'hardware of a variant, like fp16:sm87,sm89 (default: any)'))
    .addOption(several('--providers <name:list>', 'providers of a variant (default: as its settings say)'))
    .addOption(several('--memory-mb <name:number>', 'memory of a variant (default: as measured)'))
    .addOption(several('--unchecked <name>', 'a variant that cannot run on this machine'))
    .addOption(whole('--probe-seconds <number>', 'the check may take so long', 86_400).default(600))
    .addOption(whole('--probe-memory-mb <number>', 'and so much memory', 2 ** 24).default(16_384))
    .addOption(OPTIONS.config())
    .action(async (dir, options) => {
      const { runModelPush } = await import('../app/model-push.ts')
      await runModelPush(dir, options, print)
    })
  model
    .command('make-golden <dir>', { hidden: true })
    .addOption(whole('--samples <number>', '', 64).makeOptionMandatory())
    .addOption(whole('--seed <number>', '', 2 ** 31).default(1))
    .addOption(OPTIONS.config())
    .addOption(OPTIONS.state())
    .action(async (folder, options) => {
      const { makeGoldenHere } = await import('../app/make-golden.ts')
      await makeGoldenHere({ folder, ...options })
    })
}
