/** What a state means for whoever looks; each has a shape of its own, so that colour is not all there is. */
export type Tone = 'good' | 'busy' | 'warning' | 'bad' | 'quiet'

const SHAPES: Readonly<Record<Tone, string>> = {
  good: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Z',
  busy: 'M8 1.5 9.6 6.4 14.5 8 9.6 9.6 8 14.5 6.4 9.6 1.5 8 6.4 6.4Z',
  warning: 'M8 1.8 15 14H1Z',
  bad: 'M8 1 15 8 8 15 1 8Z',
  quiet: 'M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11Zm0 2a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7Z',
}

export function Status({ tone, children }: { readonly tone: Tone; readonly children: string }) {
  return (
    <span class={`status tone-${tone}`}>
      <Mark tone={tone} />
      {children}
    </span>
  )
}

export function Mark({ tone }: { readonly tone: Tone }) {
  return (
    <svg class={`mark tone-${tone}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={SHAPES[tone]} fill-rule="evenodd" />
    </svg>
  )
}

const LIVENESS: Readonly<Record<string, Tone>> = { alive: 'good', warning: 'warning', offline: 'quiet' }

export function livenessTone(liveness: string): Tone {
  return LIVENESS[liveness] ?? 'quiet'
}

const ENDED: Readonly<Record<string, Tone>> = {
  committed: 'good',
  done: 'good',
  completed: 'good',
  rejected: 'bad',
  reverted: 'bad',
  aborted: 'bad',
  failed: 'bad',
  stuck: 'bad',
  expired: 'warning',
  paused: 'warning',
  superseded: 'quiet',
  pending: 'quiet',
  draft: 'quiet',
  queued: 'quiet',
}

/** Of an update, a rollout, a command: what is not over is under way. */
export function stateTone(state: string): Tone {
  return ENDED[state] ?? 'busy'
}
