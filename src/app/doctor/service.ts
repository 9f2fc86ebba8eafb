import { runCommand } from '../../health/run-command.ts'
import { type Check, checksOf } from './check.ts'

const UNITS = ['limpet.service', 'limpet-registry.service'] as const
const PROPERTIES = [
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'NRestarts',
  'StatusText',
  'WatchdogUSec',
  'UnitFileState',
  'ExecMainStatus',
  'ActiveEnterTimestamp',
]

/** What systemd says of a unit, by property. */
export type UnitFacts = Readonly<Record<string, string>> & { readonly unit: string }

export async function lookAtService(): Promise<readonly UnitFacts[]> {
  const units = await Promise.all(UNITS.map(readUnit))
  return units.filter((unit) => unit !== undefined)
}

async function readUnit(unit: string): Promise<UnitFacts | undefined> {
  const text = await runCommand([
    'systemctl',
    'show',
    unit,
    '--no-pager',
    `--property=${PROPERTIES.join(',')}`,
  ])
  if (text === undefined) return undefined
  const properties = Object.fromEntries(
    [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
  return properties['LoadState'] === 'loaded' ? { ...properties, unit } : undefined
}

const { ok, note, warning, fault } = checksOf('service')
const RESTARTS_WARNING = 3

export function judgeService(units: readonly UnitFacts[]): Check[] {
  if (units.length === 0)
    return [note('none', 'systemd has no unit of Limpet here: whoever starts it has to start it again')]
  return units.flatMap((unit) => [judgeState(unit), ...judgeRestarts(unit)])
}

function judgeState(facts: UnitFacts): Check {
  const { unit } = facts
  const [active, sub, result] = ['ActiveState', 'SubState', 'Result'].map((name) => facts[name] ?? '')
  const said = facts['StatusText'] ? `: ${facts['StatusText']}` : ''
  const state = `${unit} is ${active} (${sub})${said}`
  const more = { facts }
  if (active === 'failed')
    return fault('state', `${state}, because of ${result}`, {
      ...more,
      fix: `"journalctl -u ${unit} -n 50" says why; then "systemctl restart ${unit}"`,
    })
  if (active === 'active') {
    const since = facts['ActiveEnterTimestamp'] ? ` since ${facts['ActiveEnterTimestamp']}` : ''
    const watchdog = isOff(facts['WatchdogUSec']) ? ', without a watchdog' : ''
    return ok('state', `${state}${since}${watchdog}`, more)
  }
  if (active === 'inactive')
    return note('state', `${state}: nobody has started it`, {
      ...more,
      fix: `systemctl enable --now ${unit}`,
    })
  return warning('state', `${state}: it is on its way up or down`, more)
}

function isOff(watchdog: string | undefined): boolean {
  return watchdog === undefined || watchdog === '' || watchdog === '0'
}

function judgeRestarts(facts: UnitFacts): Check[] {
  const restarts = Number(facts['NRestarts'] ?? 0)
  if (!(restarts > 0)) return []
  const fix = `"journalctl -u ${facts.unit} -p warning" says why`
  const text = `${facts.unit} was started again ${restarts} ${restarts === 1 ? 'time' : 'times'}`
  return [(restarts < RESTARTS_WARNING ? note : warning)('restarts', text, { fix, facts: { restarts } })]
}
