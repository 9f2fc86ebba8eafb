import { cp, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../kit/clock.ts'
import { makeFolderDurably, moveFolderDurably } from '../../kit/durable-file.ts'
import { EdgeError } from '../../kit/errors.ts'
import { initKeys } from '../../publisher/ceremony.ts'

type Print = (line: string) => void

const DEV_FAMILIES = ['vision', 'audio', 'demo']

/** A registry without keys cannot sign, and nobody's devices would believe it. */
export async function requireKeys(
  folder: string,
  options: { devKeys: boolean; print: Print },
): Promise<void> {
  await makeFolderDurably(folder, 0o700)
  const hasKeys = await stat(join(folder, 'tuf/root.json')).then(
    () => true,
    () => false,
  )
  if (hasKeys) return
  if (!options.devKeys) {
    throw new EdgeError(
      'config_invalid',
      `Cannot start a registry in "${folder}": it has no keys. Make them with "limpet keys init --out DIR --family NAME" ` +
        'and start with "--state DIR/registry"; to try things out, add --dev-keys',
    )
  }
  options.print(
    'DEVELOPMENT KEYS: root, targets and publisher keys are made on this machine and stay on it, unencrypted.',
  )
  options.print('Whoever can read them owns every device that trusts them. Never use them for a real fleet.')
  const out = join(folder, 'development-keys')
  // Of a first start that was cut off: nobody trusts them yet.
  for (const name of ['development-keys', 'tuf.part', 'tuf']) {
    await rm(join(folder, name), { recursive: true, force: true })
  }
  await initKeys({
    out,
    families: DEV_FAMILIES,
    rootKeys: 1,
    rootThreshold: 1,
    passphrase: undefined,
    nowMs: systemClock.now(),
    print: () => undefined,
  })
  // The metadata comes last, and whole: where it is, everything is.
  for (const name of ['keys', 'objects', 'tuf.part']) {
    await cp(join(out, 'registry', name.replace('.part', '')), join(folder, name), { recursive: true })
  }
  await moveFolderDurably(join(folder, 'tuf.part'), join(folder, 'tuf'))
  options.print(`Publisher keys for ${DEV_FAMILIES.join(', ')}: ${join(out, 'publishers')}`)
}
