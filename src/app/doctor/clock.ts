import { access } from 'node:fs/promises'
import { runCommand } from '../../health/run-command.ts'
import { BUILD } from '../build-info.ts'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'

export interface ClockFacts {
  readonly nowMs: number
  /** It is later than this, whatever the clock says. */
  readonly builtMs: number
  /** Kept right by a time server; undefined: nobody here can say. */
  readonly isSynchronized: boolean | undefined
}

export async function lookAtClock({ clock }: Context): Promise<ClockFacts> {
  return { nowMs: clock.now(), builtMs: BUILD.committedMs, isSynchronized: await isSynchronized() }
}

/** systemd-timesyncd leaves a file; of other programs the kernel knows, and timedatectl asks it. */
async function isSynchronized(): Promise<boolean | undefined> {
  const isNoted = await access('/run/systemd/timesync/synchronized').then(
    () => true,
    () => false,
  )
  if (isNoted) return true
  const said = await runCommand(['timedatectl', 'show', '--property=NTPSynchronized', '--value'])
  return said === undefined ? undefined : said.trim() === 'yes'
}

const { ok, note, warning } = checksOf('clock')
const AHEAD_MS_MAX = 5 * 365 * 86_400_000
const FIX =
  'set the clock, and let a time server keep it ("timedatectl set-ntp true"); a clock that forgets at each start wants a new battery'

export function judgeClock({ nowMs, builtMs, isSynchronized: isKept }: ClockFacts): Check[] {
  const time = new Date(nowMs).toISOString()
  const facts = { time, synchronized: isKept ?? null }
  if (nowMs < builtMs)
    return [
      warning(
        'wrong',
        `the clock says ${time}, and Limpet was made on ${new Date(builtMs).toISOString()}: it is behind`,
        { fix: FIX, facts },
      ),
    ]
  if (nowMs > builtMs + AHEAD_MS_MAX && builtMs > 0)
    return [warning('wrong', `the clock says ${time}: that is years ahead`, { fix: FIX, facts })]
  if (isKept === undefined)
    return [ok('time', `it is ${time}; whether a time server keeps it so is not known`, { facts })]
  if (isKept) return [ok('time', `it is ${time}, kept by a time server`, { facts })]
  return [note('time', `it is ${time}, and no time server keeps it so`, { fix: FIX, facts })]
}

const [OFFSET_NOTE_S, OFFSET_WARNING_S] = [5, 30] as const

/** Against the registry's clock, which says whole seconds. */
export function judgeOffset(offsetSeconds: number): Check {
  const facts = { offset_seconds: Math.round(offsetSeconds) }
  const away = Math.abs(Math.round(offsetSeconds))
  if (away <= OFFSET_NOTE_S) return ok('offset', `it goes with the registry's clock`, { facts })
  const text = `it is ${away} s ${offsetSeconds > 0 ? 'ahead of' : 'behind'} the registry's clock`
  return (away < OFFSET_WARNING_S ? note : warning)('offset', text, { fix: FIX, facts })
}
