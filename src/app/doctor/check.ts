/** What is looked at, in the order in which it reads best. */
export const TOPICS = [
  'machine',
  'config',
  'profile',
  'gpu',
  'libraries',
  'runtime',
  'providers',
  'engines',
  'models',
  'service',
  'storage',
  'clock',
  'network',
  'registry',
  'broker',
  'certificates',
  'trust',
  'agent',
  'capture',
  'central',
] as const

export type Topic = (typeof TOPICS)[number]

/**
 * `fault`: something that the device should do does not work, and a person has to mend it. `warning`: it goes on, with
 * less than it should have or not for long. `note`: worth knowing.
 */
export const STATUSES = ['ok', 'note', 'warning', 'fault'] as const
export type CheckStatus = (typeof STATUSES)[number]

type Facts = Readonly<Record<string, unknown>>

/** One thing looked at. `id` says which, in words that do not change; text and fix are for a person. */
export interface Check {
  readonly id: string
  readonly topic: Topic
  readonly status: CheckStatus
  readonly text: string
  /** What to do about it, a line for each thing; "" where there is nothing to be done, or nobody knows what. */
  readonly fix: string
  /** The same for a program, in units that their names say. */
  readonly facts: Facts
}

/** What a judge writes its checks with. */
export function checksOf(topic: Topic) {
  const make =
    (status: CheckStatus) =>
    (id: string, text: string, more: { fix?: string; facts?: Facts } = {}): Check => ({
      id: `${topic}.${id}`,
      topic,
      status,
      text,
      fix: more.fix ?? '',
      facts: more.facts ?? {},
    })
  return { ok: make('ok'), note: make('note'), warning: make('warning'), fault: make('fault') }
}
