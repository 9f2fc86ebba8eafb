/** When a service manager hears that the appliance is well, and when it hears nothing. */
import { describe, expect, test } from 'bun:test'
import { ServiceManager } from '../../src/app/service-manager.ts'
import { AGENT_AWAY_MS_MAX, judge, keepWatch, type Seen } from '../../src/app/watchdog.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'

const LOADING = 'alive, loading models'
const EXTENDED = 'EXTEND_TIMEOUT_USEC=60000000'

describe('judged', () => {
  const seen = (serve: Seen['serve'], isStarted: boolean, agentAwayMs = 0) => ({
    serve,
    isStarted,
    agentAwayMs,
  })
  const lost = AGENT_AWAY_MS_MAX + 1

  test.each([
    ['serve is silent at the start', seen('silent', false), 'status', 'serve does not answer'],
    ['serve is silent later', seen('silent', true), 'status', 'serve does not answer'],
    ['it loads at the start', seen('live', false), 'starting', LOADING],
    ['it loads later', seen('live', true), 'alive', LOADING],
    ['it serves for the first time', seen('ready', false), 'ready', 'serving'],
    ['it serves', seen('ready', true), 'alive', 'serving'],
    ['the agent is about to start again', seen('ready', true, AGENT_AWAY_MS_MAX), 'alive', 'serving'],
    ['nobody starts the agent', seen('ready', true, lost), 'status', 'the agent is not started again'],
    ['there was never an agent', seen('ready', false, lost), 'status', 'the agent is not started again'],
  ] as const)('%s', (_, given, tell, status) => {
    expect(judge(given)).toEqual({ tell, status })
  })
})

/** What is said while serve is as scripted, one look after the other; "stop" ends it. */
async function run(script: readonly Seen['serve'][], watchdogMs?: number) {
  const clock = new FlowingClock()
  const stopping = new AbortController()
  const told: string[] = []
  const looks: { atMs: number; answerMs: number }[] = []
  const began = clock.elapsed()
  const left = [...script]
  await keepWatch({
    manager: new ServiceManager((message) => told.push(message.replace('\n', ' ')) > 0),
    clock,
    watchdogMs,
    stop: stopping.signal,
    look: (answerMs) => {
      looks.push({ atMs: clock.elapsed() - began, answerMs })
      const serve = left.shift()
      if (left.length === 0) stopping.abort()
      return Promise.resolve({ serve: serve ?? 'silent', agentAwayMs: 0 })
    },
  })
  return { told, looks }
}

test('the whole of a life: a slow start, service, a hang, service again, the end', async () => {
  const { told } = await run([
    'silent',
    'silent',
    'live',
    'live',
    'ready',
    'ready',
    'silent',
    'silent',
    'ready',
    'ready',
  ])
  expect(told).toEqual([
    'STATUS=serve does not answer',
    `${EXTENDED} STATUS=${LOADING}`,
    `${EXTENDED} STATUS=${LOADING}`,
    'READY=1 STATUS=serving',
    'WATCHDOG=1 STATUS=serving',
    // Once, for people, and nothing that keeps it alive.
    'STATUS=serve does not answer',
    'WATCHDOG=1 STATUS=serving',
    'STOPPING=1 STATUS=stopping',
  ])
})

test('a look and the pause before it take less than half of what the service manager waits', async () => {
  for (const watchdogMs of [400, 10_000, 60_000]) {
    const { looks } = await run(['ready', 'ready', 'ready', 'ready'], watchdogMs)
    const pauses = looks.slice(1).map(({ atMs }, index) => atMs - (looks[index]?.atMs ?? 0))
    for (const pause of pauses) expect(pause).toBeLessThanOrEqual(watchdogMs / 4)
    for (const { answerMs } of looks) expect(answerMs).toBeLessThanOrEqual(watchdogMs / 4)
  }
})

test('a service manager that is not there is no reason to stop', async () => {
  const lines: string[] = []
  const note = (event: string) => void lines.push(event)
  let isThere = false
  const manager = new ServiceManager(() => isThere, { error: note, warn: note, info: note, debug: note })
  manager.ready('serving')
  manager.alive('serving')
  expect(lines).toEqual(['app.service_manager_deaf'])
  isThere = true
  manager.alive('serving')
  isThere = false
  manager.alive('serving')
  expect(lines).toEqual(['app.service_manager_deaf', 'app.service_manager_deaf'])
})
