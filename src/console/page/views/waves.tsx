import { count, plural, words } from '../format.ts'
import { Panel } from '../parts/page.tsx'
import { Mark, Status, type Tone } from '../parts/status.tsx'
import { coverOf, type Rollout, type Wave } from '../rollout.ts'

/** In the order of the way that a device goes, then where it may end otherwise. */
const GROUPS: readonly { readonly name: string; readonly tone: Tone; readonly states: readonly string[] }[] =
  [
    { name: 'committed', tone: 'good', states: ['committed'] },
    { name: 'on the way', tone: 'busy', states: ['assigned', 'taken', 'trial', 'reverting'] },
    {
      name: 'failed',
      tone: 'bad',
      states: ['failed', 'rejected', 'timed_out', 'rolled_back', 'vanished', 'alerted', 'stranded'],
    },
    { name: 'reverted', tone: 'warning', states: ['reverted', 'deferred'] },
    { name: 'waiting', tone: 'quiet', states: ['waiting', 'left', 'withdrawn'] },
  ]

export function Waves({ rollout }: { readonly rollout: Rollout }) {
  return (
    <Panel title="Waves">
      <ol class="waves">
        {rollout.waves.map((wave, index) => (
          <li key={index} class={index === rollout.wave ? 'is-now' : ''}>
            <div class="line">
              <span>
                <b>Wave {index}</b> <span class="note">{coverOf(wave)}</span>
              </span>
              <WaveState rollout={rollout} index={index} />
              <span class="note">{plural(wave.devices ?? 0, 'device')}</span>
            </div>
            <Progress wave={wave} />
            <States wave={wave} />
          </li>
        ))}
      </ol>
    </Panel>
  )
}

function WaveState({ rollout, index }: { readonly rollout: Rollout; readonly index: number }) {
  if (index > rollout.wave || rollout.state === 'draft') return <Status tone="quiet">to come</Status>
  if (index < rollout.wave || rollout.state === 'done') return <Status tone="good">passed</Status>
  const isGoing = rollout.state === 'running' || rollout.state === 'soak'
  return (
    <Status tone={isGoing ? 'busy' : 'warning'}>
      {rollout.state === 'soak' ? 'calm is watched' : rollout.state}
    </Status>
  )
}

function Progress({ wave }: { readonly wave: Wave }) {
  const total = wave.devices === undefined || wave.devices === 0 ? 1 : wave.devices
  let from = 0
  return (
    <svg class="shares" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      {GROUPS.map(({ name, tone, states }) => {
        const width = (sumOf(wave, states) / total) * 100
        from += width
        return <rect key={name} x={from - width} width={width} height="4" class={`fill-${tone}`} />
      })}
    </svg>
  )
}

function sumOf(wave: Wave, states: readonly string[]): number {
  return states.reduce((sum, state) => sum + (wave.states?.[state] ?? 0), 0)
}

function States({ wave }: { readonly wave: Wave }) {
  const there = GROUPS.flatMap(({ tone, states }) =>
    states.flatMap((state) => {
      const devices = wave.states?.[state] ?? 0
      return devices === 0 ? [] : [{ state, tone, devices }]
    }),
  )
  return (
    <p class="legend-line">
      {there.map(({ state, tone, devices }) => (
        <span key={state}>
          <Mark tone={tone} /> {words(state)} <b>{count(devices)}</b>
        </span>
      ))}
    </p>
  )
}
