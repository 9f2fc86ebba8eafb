import { access } from 'node:fs/promises'
import { type Check, checksOf } from './check.ts'

/** What `scripts/install.sh` and the unit of systemd give the service. */
const SERVICE_CONFIG = '/etc/limpet/limpet.toml'

const { ok, note } = checksOf('config')

export async function lookAtConfig(
  path: string | undefined,
): Promise<{ path: string | undefined; isServiceThere: boolean }> {
  const isServiceThere = await access(SERVICE_CONFIG).then(
    () => true,
    () => false,
  )
  return { path, isServiceThere }
}

export function judgeConfig({ path, isServiceThere }: Awaited<ReturnType<typeof lookAtConfig>>): Check[] {
  const facts = { path: path ?? null }
  if (path !== undefined) return [ok('file', path, { facts })]
  const defaults = ok('file', 'no file: all defaults', { facts })
  if (!isServiceThere) return [defaults]
  const fix = `give it with --config ${SERVICE_CONFIG}`
  return [defaults, note('service', `the service reads "${SERVICE_CONFIG}", and this look did not`, { fix })]
}
