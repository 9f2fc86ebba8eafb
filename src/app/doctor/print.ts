import { type Check, type CheckStatus, STATUSES, TOPICS } from './check.ts'
import type { Report } from './report.ts'

const MARKS: Readonly<Record<CheckStatus, string>> = {
  ok: 'ok',
  note: 'note',
  warning: 'WARN',
  fault: 'FAULT',
}
const TOPIC_COLUMN = Math.max(...TOPICS.map((topic) => topic.length)) + 2
const MARK_COLUMN = 7
const TEXT_COLUMN = TOPIC_COLUMN + MARK_COLUMN

/** For a person: what was looked at by topic, then what is to be done. `width` is the terminal's; undefined: lines stay whole. */
export function describeReport({ checks, counts, tookMs }: Report, width: number | undefined): string[] {
  const wrap = (text: string) => wrapText(text, width === undefined ? undefined : width - TEXT_COLUMN)
  const lines = checks.flatMap((check, index) => {
    const isFirst = checks[index - 1]?.topic !== check.topic
    const topic = (isFirst ? check.topic : '').padEnd(TOPIC_COLUMN)
    const [first = '', ...rest] = [
      ...wrap(check.text),
      ...check.fix
        .split('\n')
        .filter(Boolean)
        .flatMap((fix) => wrap(`→ ${fix}`)),
    ]
    return [
      `${topic}${MARKS[check.status].padEnd(MARK_COLUMN)}${first}`,
      ...rest.map((line) => ' '.repeat(TEXT_COLUMN) + line),
    ]
  })
  return [...lines, '', ...summarize(checks), describeCounts(counts, tookMs)]
}

/** The worst once more, at the end, where somebody looks who has scrolled. */
function summarize(checks: readonly Check[]): string[] {
  const bad = checks.filter(({ status }) => status === 'fault')
  if (bad.length === 0) return ['Everything that serving needs is in order']
  return ['Something needs a person:', ...bad.map(({ topic, text }) => `  ${topic}: ${shorten(text)}`)]
}

const SHORT = 160

function shorten(text: string): string {
  return text.length <= SHORT ? text : `${text.slice(0, SHORT)}…`
}

function describeCounts(counts: Report['counts'], tookMs: number): string {
  const words = STATUSES.toReversed().map((status) => `${counts[status]} ${MARKS[status].toLowerCase()}`)
  return `${words.join(', ')}; took ${(tookMs / 1000).toFixed(1)} s`
}

const WIDTH_MIN = 40

function wrapText(text: string, width: number | undefined): string[] {
  if (width === undefined || width < WIDTH_MIN) return [text]
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (longer.length <= width || line === '') line = longer
    else {
      lines.push(line)
      line = word
    }
  }
  return [...lines, line]
}
