import { z } from 'zod'
import { childEnvironment } from '../../config/environment.ts'
import { systemClock } from '../../kit/clock.ts'
import { ownCommand } from '../own-command.ts'
import { type Check, checksOf, STATUSES, TOPICS } from './check.ts'
import type { DoctorOptions } from './context.ts'
import { lookByLoading } from './loading.ts'

/** Opening a library takes milliseconds; a driver may take seconds; loading models takes what it takes. */
const LOAD_MS_MAX = 60_000
const MODELS_MS_MAX = 600_000
/** As a shell says it: there was no such program, or none for this machine. */
const NOT_STARTED = 127
const OUTPUT_BYTES_MAX = 16 * 1024 ** 2

const SaidCheck = z.object({
  id: z.string(),
  topic: z.enum(TOPICS),
  status: z.enum(STATUSES),
  text: z.string(),
  fix: z.string(),
  facts: z.record(z.string(), z.unknown()),
})

/** What `lookByLoading` finds, from a process of its own: one that crashes or hangs has said before what it knew. */
export async function lookIsolated(options: DoctorOptions): Promise<readonly Check[]> {
  const { models, config, state } = options
  const given = Object.entries({ models, config, state }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  )
  const msMax = models === undefined ? LOAD_MS_MAX : MODELS_MS_MAX
  const began = systemClock.elapsed()
  const child = Bun.spawn([...ownCommand(), 'doctor', '--by-loading', ...given], {
    env: childEnvironment({}),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: msMax,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
  })
  const [text, complaints] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  await child.exited
  const checks = text.split('\n').flatMap(parseCheck)
  if (child.exitCode === 0) return checks
  if (child.exitCode === NOT_STARTED && text === '') return await lookHere(options)
  return [
    ...checks,
    describeEnd({
      signal: child.signalCode === null ? null : String(child.signalCode),
      exitCode: child.exitCode,
      complaints,
      after: checks.at(-1),
      secondsMax: systemClock.elapsed() - began < msMax ? undefined : msMax / 1000,
    }),
  ]
}

/** Where this program cannot start itself again, as under an emulator: better without a second process than not at all. */
async function lookHere(options: DoctorOptions): Promise<readonly Check[]> {
  const { note } = checksOf('runtime')
  const checks: Check[] = [
    note('not_isolated', 'loaded in the process of the doctor itself: it could not start another one'),
  ]
  await lookByLoading(options, (said) => void checks.push(...said))
  return checks
}

function parseCheck(line: string): Check[] {
  try {
    const { data } = SaidCheck.safeParse(JSON.parse(line))
    return data === undefined ? [] : [data]
  } catch {
    return []
  }
}

interface End {
  readonly signal: string | null
  readonly exitCode: number | null
  readonly complaints: string
  readonly after: Check | undefined
  /** Its time was up; undefined: it was not. */
  readonly secondsMax: number | undefined
}

const COMPLAINT_CHARACTERS = 300

export function describeEnd({ signal, exitCode, complaints, after, secondsMax }: End): Check {
  const { fault } = checksOf('runtime')
  const how =
    secondsMax !== undefined
      ? `did not end within ${secondsMax} s`
      : signal === 'SIGKILL'
        ? 'was killed (for want of memory?)'
        : signal === null
          ? `ended with ${exitCode}`
          : `crashed with ${signal}`
  const when = after === undefined ? 'before it had found anything' : `after it had found: ${after.text}`
  const said = lastWords(complaints)
  return fault('ended', `what loads ONNX Runtime ${how}, ${when}${said === '' ? '' : `; it said: ${said}`}`, {
    fix: 'serve would fare alike: take another build of the library, or let go of the model that comes next',
    facts: { signal, exit_code: exitCode },
  })
}

/** Of the runtime's own report of a crash its one line that says what it was. */
function lastWords(complaints: string): string {
  const panic = /^panic\(.*$/m.exec(complaints)?.[0]
  return panic ?? complaints.trim().slice(-COMPLAINT_CHARACTERS)
}
