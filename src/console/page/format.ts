const NUMBER = new Intl.NumberFormat('en')
const DATE = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

export function count(value: number): string {
  return NUMBER.format(value)
}

export function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? '' : 's'}`
}

export function dateTime(time: string): string {
  return DATE.format(new Date(time))
}

const STEPS = [
  [60, 'second', 1],
  [3600, 'minute', 60],
  [86_400, 'hour', 3600],
  [Number.POSITIVE_INFINITY, 'day', 86_400],
] as const

/** "3 minutes ago", as seen at that moment. */
export function ago(time: string, nowMs: number): string {
  // The registry's clock may be ahead of this one.
  const seconds = Math.min(0, Math.round((new Date(time).getTime() - nowMs) / 1000))
  const [, unit, size] = STEPS.find(([most]) => Math.abs(seconds) < most) ?? STEPS[3]
  return AGO.format(Math.round(seconds / size), unit)
}

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB']

export function bytes(value: number): string {
  let [amount, unit] = [value, 0]
  while (Math.abs(amount) >= 1000 && unit < BYTES.length - 1) {
    amount /= 1000
    unit += 1
  }
  return `${amount < 10 && unit > 0 ? amount.toFixed(1) : Math.round(amount)} ${BYTES[unit]}`
}

export function short(hash: string): string {
  return hash.slice(0, 10)
}

/** "waiting_for_window" as people write it. */
export function words(name: string): string {
  return name.replaceAll('_', ' ')
}
