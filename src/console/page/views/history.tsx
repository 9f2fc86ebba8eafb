import { dateTime, words } from '../format.ts'
import { Empty, Loaded, Panel } from '../parts/page.tsx'
import { Mark, stateTone, type Tone } from '../parts/status.tsx'
import { useResource } from '../resource.ts'
import type { DeviceEvent } from '../types.ts'

const EVENTS = 300

/** What a device has told of one update: each step with when, and with why where it went wrong. */
interface Story {
  readonly key: string
  readonly model: string
  readonly version: string
  readonly steps: readonly Step[]
}

interface Step {
  readonly number: number
  readonly time: string
  readonly to: string
  readonly code: string
  readonly reason: string
}

/** How it came to what it runs, the newest update first. */
export function History({ device }: { readonly device: string }) {
  const events = useResource<{ events: DeviceEvent[] }>(
    `/v1/devices/${encodeURIComponent(device)}/events?newest=true&count=${EVENTS}`,
    { kinds: ['device'], id: device },
  )
  return (
    <Panel title="Update history">
      <Loaded from={events}>
        {({ events: told }) => {
          const stories = storiesOf(told)
          if (stories.length === 0) return <Empty>No update has begun here yet.</Empty>
          return (
            <ol class="stories">
              {stories.map((story, index) => (
                <li key={story.key}>
                  <StoryLine story={story} isOpen={index === 0} />
                </li>
              ))}
            </ol>
          )
        }}
      </Loaded>
    </Panel>
  )
}

function StoryLine({ story, isOpen }: { readonly story: Story; readonly isOpen: boolean }) {
  const last = story.steps.at(-1)
  const why = last?.reason ?? ''
  return (
    <details open={isOpen}>
      <summary>
        <Mark tone={stateTone(last?.to ?? '')} />
        <span>
          <b>
            {story.model} {story.version}
          </b>{' '}
          {words(last?.to ?? '')}
          {why === '' ? null : <span class="note">: {why}</span>}
        </span>
        <span class="note">{last === undefined ? '' : dateTime(last.time)}</span>
      </summary>
      <ol class="steps">
        {story.steps.map((step, index) => (
          <li key={step.number}>
            <Mark tone={toneOf(step, { isLast: index === story.steps.length - 1 })} />
            <span class="step">{words(step.to)}</span>
            <time dateTime={step.time}>{dateTime(step.time)}</time>
            {step.code === '' ? null : <code>{step.code}</code>}
            {step.reason === '' ? null : <span class="reason">{step.reason}</span>}
          </li>
        ))}
      </ol>
    </details>
  )
}

/** A step that another one followed has been done, unless it says why it was not. */
function toneOf({ to, code }: Step, { isLast }: { isLast: boolean }): Tone {
  const tone = stateTone(to)
  return tone === 'busy' && !isLast && code === '' ? 'good' : tone
}

/** Events of one model and version that follow each other are one update. */
function storiesOf(events: readonly DeviceEvent[]): Story[] {
  const stories: (Story & { steps: Step[] })[] = []
  for (const { number, received, body } of events) {
    const [model, version, to] = [body['model'], body['version'], body['to']]
    if (typeof model !== 'string' || typeof version !== 'string' || typeof to !== 'string') continue
    const step = {
      number,
      time: timeOf(body['time'], received),
      to,
      code: text(body['code']),
      reason: text(body['reason']),
    }
    const key = `${model} ${version} ${text(body['rev'])}`
    const open = stories.findLast((story) => story.key.startsWith(`${key}#`))
    if (open === undefined) stories.push({ key: `${key}#${number}`, model, version, steps: [step] })
    else open.steps.push(step)
  }
  return stories.toReversed()
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

/** By the device's clock, where it says so. */
function timeOf(told: unknown, received: string): string {
  return typeof told === 'number' || typeof told === 'string' ? new Date(told).toISOString() : received
}
