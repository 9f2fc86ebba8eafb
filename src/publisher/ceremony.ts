import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { EdgeError } from '../kit/errors.ts'
import { signFirstFiles } from '../trust/ceremony.ts'
import type { SigningKey } from '../trust/key.ts'
import { isFamilyName } from '../trust/names.ts'
import { KeyFolder } from './key-folder.ts'

export interface CeremonyOptions {
  readonly out: string
  readonly families: readonly string[]
  readonly rootKeys: number
  readonly rootThreshold: number
  readonly passphrase: string | undefined
  readonly nowMs: number
  readonly print: (line: string) => void
}

/** `limpet keys init`: every key and the first metadata, and what is to be done with each file. */
export async function initKeys(options: CeremonyOptions): Promise<void> {
  await requireSensible(options)
  const folder = new KeyFolder(options.out, options.passphrase)
  const root: SigningKey[] = []
  for (let number = 1; number <= options.rootKeys; number += 1) {
    root.push((await folder.create('offline', `root-${number}`)).key)
  }
  const { key: targets } = await folder.create('offline', 'targets')
  const publishers = new Map<string, SigningKey>()
  for (const family of options.families)
    publishers.set(family, (await folder.create('publishers', family)).key)
  const { key: director } = await folder.create('registry/keys', 'director')
  const { key: snapshot } = await folder.create('registry/keys', 'snapshot')
  const { key: timestamp } = await folder.create('registry/keys', 'timestamp')
  const { rootThreshold, nowMs } = options
  const first = signFirstFiles({
    root,
    rootThreshold,
    targets,
    publishers,
    director,
    snapshot,
    timestamp,
    nowMs,
  })
  for (const [sha256, bytes] of first.objects)
    await folder.write(join(options.out, 'registry/objects', sha256), bytes)
  for (const [name, bytes] of first.metadata)
    await folder.write(join(options.out, 'registry/tuf', name), bytes)
  const rootBytes = first.metadata.get('root.json')
  if (rootBytes !== undefined) await folder.write(join(options.out, 'root.json'), rootBytes)
  for (const line of describeCeremony(options)) options.print(line)
}

async function requireSensible({ out, families, rootKeys, rootThreshold }: CeremonyOptions): Promise<void> {
  if (rootThreshold > rootKeys) {
    throw new EdgeError(
      'input_invalid',
      `Cannot make keys: ${rootThreshold} of ${rootKeys} root keys cannot sign`,
    )
  }
  const wrong = families.find((family) => !isFamilyName(family))
  if (wrong !== undefined || new Set(families).size !== families.length) {
    throw new EdgeError(
      'input_invalid',
      `Cannot make keys for the families "${families.join('", "')}": expected different names like "vision"`,
    )
  }
  const names = await readdir(out).catch(() => [])
  if (names.length > 0) {
    throw new EdgeError(
      'input_invalid',
      `Cannot make keys in "${out}": it is not empty, and keys are never overwritten`,
    )
  }
}

function describeCeremony({ out, families, rootKeys, rootThreshold, passphrase }: CeremonyOptions): string[] {
  const lock =
    passphrase === undefined
      ? 'NOT encrypted: give --passphrase-file FILE for that'
      : 'encrypted with the passphrase'
  return [
    `Made in "${out}":`,
    '',
    '  offline/root-*.pem     sign who may sign everything else. Any ' +
      `${rootThreshold} of these ${rootKeys} change it; whoever holds ${rootThreshold} owns the fleet.`,
    '                         -> each onto a medium of its own, with a person of its own, off the network',
    '  offline/targets-*.pem  signs which key may publish which model family, and who the director is.',
    '                         -> off the network, beside one of the root keys',
    ...families.map(
      (family) =>
        `  publishers/${family}-*.pem  signs what may run of the models ${family}/*.\n                         -> to whoever publishes them, or their CI`,
    ),
    '  registry/              its keys, metadata and objects: director (what runs where), snapshot, timestamp.',
    '                         -> the state folder of "limpet registry"; a thief of these keys chooses among',
    '                            published versions, and nothing else',
    "  root.json              where a device's trust begins; devices get it when they enrol",
    '',
    `The files in offline/ and publishers/ are ${lock}; all keys are readable by their owner only.`,
    'Next:',
    `  1. Copy "${join(out, 'registry')}" to the registry's state folder.`,
    `  2. Take "${join(out, 'offline')}" off this machine, keep a copy in another place, and delete it here.`,
    '  3. Once a year: limpet keys renew root, and limpet keys renew targets.',
  ]
}
