import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { systemClock } from '../kit/clock.ts'
import { makeFolderDurably, writeDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { systemRandom } from '../kit/random.ts'
import { Topics } from '../link/topics.ts'
import { mosquittoAcl, mosquittoHash, mosquittoPasswords, mosquittoSettings } from '../registry/mosquitto.ts'
import { openRegistry } from '../registry/registry.ts'
import { openRegistryDatabase } from './registry-database.ts'

export interface BrokerConfigOptions {
  readonly state: string | undefined
  readonly out: string
  readonly listen: string
  readonly prefix: string
}

/** As whom the registry comes; mqtt.username says otherwise. */
const REGISTRY = 'limpet-registry'

/** `limpet registry broker-config mosquitto`: settings, access rules and passwords, for the devices of today. */
export async function runBrokerConfig(
  kind: string,
  options: BrokerConfigOptions,
  print: (line: string) => void,
): Promise<void> {
  if (kind !== 'mosquitto') {
    throw new EdgeError(
      'input_invalid',
      `Cannot write a config for "${kind}": expected mosquitto; README says what any other broker has to allow`,
    )
  }
  const { host, port } = parseListen(options.listen)
  const folder = options.state ?? join(readEnvironment().state, 'registry')
  if ((await stat(join(folder, 'registry.sqlite')).catch(() => undefined)) === undefined) {
    throw new EdgeError(
      'input_invalid',
      `Cannot read the devices of "${folder}": no registry was ever started there; give its --state`,
    )
  }
  const database = await openRegistryDatabase(folder)
  const { devices } = await openRegistry({ folder, database, clock: systemClock, random: systemRandom })
  const out = resolve(options.out)
  await makeFolderDurably(out, 0o700)
  const password = await registryPassword(folder)
  const hashes = new Map([
    [REGISTRY, mosquittoHash(password.text, systemRandom)],
    ...devices.mosquittoHashes(),
  ])
  await writeDurably(join(out, 'acl'), Buffer.from(mosquittoAcl(new Topics(options.prefix), REGISTRY)), 0o600)
  await writeDurably(join(out, 'passwords'), Buffer.from(mosquittoPasswords(hashes)), 0o600)
  await writeDurably(join(out, 'mosquitto.conf'), Buffer.from(mosquittoSettings({ folder: out, host, port })))
  database.close()
  print(`Wrote mosquitto.conf, acl and passwords (${hashes.size - 1} devices and the registry) to ${out}`)
  print(`  1. mosquitto -c ${join(out, 'mosquitto.conf')}      its user has to be able to read the folder`)
  print(
    `  2. limpet registry --state ${folder} --broker mqtt://${host}:${port}      its password is in ${password.path}`,
  )
  print('  3. After new devices have enrolled: this command again, then kill -HUP of mosquitto')
}

/** Made once. */
async function registryPassword(folder: string): Promise<{ text: string; path: string }> {
  const path = join(folder, BROKER_PASSWORD)
  const old = await readFile(path, 'utf8').catch(() => undefined)
  if (old !== undefined) return { text: old.trim(), path }
  const text = systemRandom.bytes(32).toHex()
  await writeDurably(path, Buffer.from(`${text}\n`), 0o600)
  return { text, path }
}

/** Where the registry finds its password for a broker when the config names no other file. */
export const BROKER_PASSWORD = 'broker.password'

function parseListen(text: string): { host: string; port: number } {
  const [, host = '', digits = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (host !== '' && port >= 1 && port <= 65_535) return { host, port }
  throw new EdgeError('input_invalid', `Cannot use --listen "${text}": expected host:port`)
}
