import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { systemClock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import type { RegistryClient } from '../publisher/registry-client.ts'
import type { OperatorOptions } from './operate.ts'
import { openRegistryClient } from './registry-client.ts'
import { linesOf, Plan, planLines, Rollout, summaryOf, WholeRollout } from './rollout-view.ts'

type Print = (line: string) => void

/** What may be said of a rollout on the command line; all of it, and more, in a file. */
export interface RolloutOptions extends OperatorOptions {
  readonly file: string | undefined
  readonly selector: string | undefined
  readonly wave: readonly string[]
  readonly soakSeconds: number | undefined
  readonly successPercent: number | undefined
  readonly failurePercent: number | undefined
  readonly failuresMin: number | undefined
  readonly onAbort: string | undefined
  readonly startsPerMinute: number | undefined
  readonly downloads: number | undefined
  readonly observeSeconds: number | undefined
  readonly previous: string | undefined
  readonly allowDowngrade: boolean
  readonly secondPerson: boolean
}

const WATCH_MS = 1_000
const ENDED = ['done', 'aborted', 'reverted']
const Drafted = Rollout.extend({ plan: Plan })

/** `limpet rollout plan`: who would come when. */
export async function runRolloutPlan(named: string, options: RolloutOptions, print: Print): Promise<void> {
  const request = await requestOf(named, options)
  const registry = await openRegistryClient(options)
  const planned = await registry.ask(Plan, 'POST', 'v1/rollouts/plan', request)
  if (options.json) return print(JSON.stringify(planned))
  for (const line of planLines(planned)) print(line)
}

/** `limpet rollout start`: of a draft, by its id, or of a version, as a rollout of its own. */
export async function runRolloutStart(named: string, options: RolloutOptions, print: Print): Promise<void> {
  const registry = await openRegistryClient(options)
  if (/^r-\d+$/.test(named))
    return await act(registry, { id: named, action: 'start', reason: '' }, options, print)
  const request = await requestOf(named, options)
  const drafted = await registry.ask(Drafted, 'POST', 'v1/rollouts', request)
  if (drafted.approval !== 'none') {
    if (options.json) return print(JSON.stringify(drafted))
    for (const line of planLines(drafted.plan)) print(line)
    print(`${drafted.id} is a draft. Somebody else has to say: limpet rollout approve ${drafted.id}`)
    return print(`Then: limpet rollout start ${drafted.id}`)
  }
  if (!options.json) for (const line of planLines(drafted.plan)) print(line)
  await act(registry, { id: drafted.id, action: 'start', reason: '' }, options, print)
}

/** `limpet rollout pause`, `resume`, `abort`, `revert`, `approve` */
export async function runRolloutAct(
  id: string,
  action: string,
  options: OperatorOptions & { readonly reason: string | undefined },
  print: Print,
): Promise<void> {
  await act(await openRegistryClient(options), { id, action, reason: options.reason ?? '' }, options, print)
}

async function act(
  registry: RegistryClient,
  { id, action, reason }: { id: string; action: string; reason: string },
  { json }: OperatorOptions,
  print: Print,
): Promise<void> {
  const path = `v1/rollouts/${encodeURIComponent(id)}/${action}`
  const rollout = await registry.ask(Rollout, 'POST', path, { reason })
  print(json ? JSON.stringify(rollout) : summaryOf(rollout))
}

/** `limpet rollout list`: the newest first. */
export async function runRolloutList(options: OperatorOptions, print: Print): Promise<void> {
  const registry = await openRegistryClient(options)
  const { rollouts } = await registry.ask(z.object({ rollouts: z.array(Rollout) }), 'GET', 'v1/rollouts')
  if (options.json) return print(JSON.stringify(rollouts))
  for (const rollout of rollouts) print(summaryOf(rollout))
}

/** `limpet rollout show`: how it stands, and how it came to that. */
export async function runRolloutShow(id: string, options: OperatorOptions, print: Print): Promise<void> {
  const rollout = await fetchWhole(await openRegistryClient(options), id)
  if (options.json) return print(JSON.stringify(rollout))
  for (const line of linesOf(rollout)) print(line)
  for (const { at, from, to, wave, reason } of rollout.transitions)
    print(`${at}  ${from} → ${to}  (wave ${wave})  ${reason}`)
}

async function fetchWhole(registry: RegistryClient, id: string): Promise<WholeRollout> {
  return await registry.ask(WholeRollout, 'GET', `v1/rollouts/${encodeURIComponent(id)}`)
}

/** `limpet rollout watch`: until it has ended; true where it is done. On a terminal the view stays in its place. */
export async function runRolloutWatch(
  id: string,
  options: OperatorOptions,
  { print, isTerminal }: { print: Print; isTerminal: boolean },
): Promise<boolean> {
  const registry = await openRegistryClient(options)
  let shown: string[] = []
  for (;;) {
    const rollout = await fetchWhole(registry, id)
    const lines = options.json ? [JSON.stringify(rollout)] : linesOf(rollout)
    if (lines.join('\n') !== shown.join('\n')) {
      // Up over what was shown before, and away with it.
      const back = isTerminal && !options.json && shown.length > 0 ? `\u001b[${shown.length}A\u001b[J` : ''
      print(back + lines.join('\n'))
      shown = lines
    }
    if (ENDED.includes(rollout.state)) return rollout.state === 'done'
    await systemClock.sleep(WATCH_MS)
  }
}

async function requestOf(named: string, options: RolloutOptions): Promise<object> {
  const file = options.file === undefined ? {} : await readRequest(options.file)
  const at = named.lastIndexOf('@')
  if (at < 1 || at === named.length - 1)
    throw new EdgeError('input_invalid', `Cannot roll out "${named}": expected FAMILY/NAME@VERSION`)
  return {
    ...file,
    model: named.slice(0, at),
    version: named.slice(at + 1),
    ...given({ selector: options.selector, previous: options.previous }),
    ...(options.wave.length > 0 && { waves: options.wave.map((text) => parseWave(text, options)) }),
    ...group('abort', file, {
      failure_percent_max: options.failurePercent,
      failures_min: options.failuresMin,
      on_abort: options.onAbort,
    }),
    ...group('limits', file, {
      starts_per_minute_max: options.startsPerMinute,
      downloads_max: options.downloads,
    }),
    ...group('policy', file, { observe_seconds: options.observeSeconds }),
    ...(options.allowDowngrade && { allow_downgrade: true }),
    ...(options.secondPerson && { approval: 'second_person' }),
  }
}

/** What is said on the command line, over what the file says. */
function group(name: string, file: Record<string, unknown>, said: Record<string, unknown>): object {
  const values = given(said)
  return Object.keys(values).length === 0
    ? {}
    : { [name]: { ...(file[name] as object | undefined), ...values } }
}

function given(values: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

/** "10%", "5" devices, or their names: "cam-01,cam-02". */
function parseWave(text: string, { soakSeconds, successPercent }: RolloutOptions): object {
  const terms = given({ soak_seconds: soakSeconds, success_percent_min: successPercent })
  if (/^\d+(\.\d+)?%$/.test(text)) return { percent: Number(text.slice(0, -1)), ...terms }
  if (/^\d+$/.test(text)) return { count: Number(text), ...terms }
  if (/^[a-z0-9-]+(,[a-z0-9-]+)*$/.test(text)) return { devices: text.split(','), ...terms }
  throw new EdgeError(
    'input_invalid',
    `Cannot use the wave "${text}": expected a share like 10%, a number of devices, or names like cam-01,cam-02`,
  )
}

async function readRequest(path: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return z.record(z.string(), z.unknown()).parse(value)
  } catch (cause) {
    throw new EdgeError('input_invalid', `Cannot read the rollout "${path}" as JSON: ${messageOf(cause)}`, {
      cause,
    })
  }
}
