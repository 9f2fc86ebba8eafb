import { z } from 'zod'

/** A rollout as lines for a person. Pure. */

const Wave = z.looseObject({
  percent: z.number().optional(),
  count: z.number().optional(),
  named: z.number().optional(),
  devices: z.int(),
  acknowledged: z.int(),
  committed: z.int(),
  failed: z.int(),
  states: z.record(z.string(), z.int()),
})

export const Rollout = z.looseObject({
  id: z.string(),
  model: z.string(),
  version: z.string(),
  selector: z.string(),
  state: z.string(),
  wave: z.int(),
  since: z.string(),
  waits_for: z.string(),
  approval: z.string(),
  waves: z.array(Wave),
})
export type Rollout = z.infer<typeof Rollout>

export const WholeRollout = Rollout.extend({
  failures: z.array(
    z.object({
      state: z.string(),
      code: z.string(),
      reason: z.string(),
      count: z.int(),
      devices: z.array(z.string()),
    }),
  ),
  transitions: z.array(
    z.looseObject({ at: z.string(), from: z.string(), to: z.string(), wave: z.int(), reason: z.string() }),
  ),
})
export type WholeRollout = z.infer<typeof WholeRollout>

export const Plan = z.object({
  devices: z.int(),
  waves: z.array(
    z.object({ devices: z.int(), hardware: z.record(z.string(), z.int()), first: z.array(z.string()) }),
  ),
  left_out: z.array(z.object({ device: z.string(), reason: z.string() })),
})

const BAR = 24
const FIRST = 8

/** "r-3  vision/yolo 3.2.0  running, wave 1 of 3  12 of 40 serve it" */
export function summaryOf(rollout: Rollout): string {
  const { id, model, version, waves } = rollout
  const [served, all] = [sum(waves, 'committed'), sum(waves, 'devices')]
  const failed = sum(waves, 'failed')
  const failures = failed === 0 ? '' : `, ${failed} failed`
  return `${id}  ${model} ${version}  ${placeOf(rollout)}  ${served} of ${all} serve it${failures}`
}

function sum(waves: Rollout['waves'], of: 'committed' | 'devices' | 'failed'): number {
  return waves.reduce((total, wave) => total + wave[of], 0)
}

function placeOf({ state, wave, waves }: Rollout): string {
  return state === 'running' || state === 'soak' || state === 'paused'
    ? `${state}, wave ${wave} of ${waves.length - 1}`
    : state
}

export function linesOf(rollout: WholeRollout): string[] {
  const waits = rollout.waits_for === '' ? [] : [`waits for ${rollout.waits_for}`]
  return [summaryOf(rollout), ...waits, ...rollout.waves.map(waveLine), ...failureLines(rollout)]
}

function waveLine(wave: Rollout['waves'][number], at: number): string {
  const { devices, committed, states } = wave
  const full = devices === 0 ? 0 : Math.floor((BAR * committed) / devices)
  const bar = '█'.repeat(full) + '·'.repeat(BAR - full)
  const words = Object.entries(states).map(([state, count]) => `${count} ${state}`)
  return `  wave ${at}  ${bar}  ${words.length === 0 ? 'no devices' : words.join(', ')}`
}

function failureLines({ failures }: WholeRollout): string[] {
  return failures.map(({ state, code, reason, count, devices }) => {
    const more = count > FIRST ? ', …' : ''
    return `  ${count} ${state}${code === '' || code === state ? '' : ` (${code})`}: ${reason}  [${devices.slice(0, FIRST).join(', ')}${more}]`
  })
}

export function planLines({ devices, waves, left_out }: z.infer<typeof Plan>): string[] {
  return [
    `${devices} devices in ${waves.length} waves`,
    ...waves.map(({ devices: count, hardware, first }, at) => {
      const classes = Object.entries(hardware).map(([name, of]) => `${of} ${name}`)
      const more = count > FIRST ? ', …' : ''
      return `  wave ${at}: ${count} (${classes.join(', ') || 'none'})  ${first.slice(0, FIRST).join(', ')}${more}`
    }),
    ...left_out.slice(0, FIRST).map(({ device, reason }) => `  left out: ${device}, ${reason}`),
    ...(left_out.length > FIRST ? [`  left out: ${left_out.length - FIRST} more`] : []),
  ]
}
