import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import { logger } from '../../kit/log.ts'

export interface IdentifySettings {
  /** A folder of the LED class, like /sys/class/leds/user. */
  readonly led: string | undefined
  /** A program with its arguments. */
  readonly command: readonly string[] | undefined
}

const BLINK_MS = 250

/** Makes the box known to somebody who stands before many of them, as far as it has been told how. */
export async function identify(
  settings: IdentifySettings,
  of: { readonly seconds: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<object> {
  logger('app').info('app.identify', { seconds: of.seconds, led: settings.led ?? null })
  const [led, command] = await Promise.all([
    settings.led === undefined ? null : blink(settings.led, of),
    settings.command === undefined ? null : runProgram(settings.command, of.signal),
  ])
  return { seconds: of.seconds, led, command_exit_code: command }
}

/** On and off, and in the end as it was. */
async function blink(
  led: string,
  { seconds, clock, signal }: { seconds: number; clock: Clock; signal: AbortSignal },
): Promise<string> {
  const path = join(led, 'brightness')
  const before = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EdgeError(
      'config_invalid',
      `Cannot blink "${led}" (commands.identify_led): ${messageOf(cause)}`,
      { cause },
    )
  })
  try {
    const began = clock.elapsed()
    for (let isOn = true; clock.elapsed() - began < seconds * 1000 && !signal.aborted; isOn = !isOn) {
      await writeFile(path, isOn ? '1' : '0')
      await clock.sleep(BLINK_MS, signal)
    }
  } finally {
    await writeFile(path, before)
  }
  return led
}

async function runProgram(command: readonly string[], signal: AbortSignal): Promise<number> {
  try {
    const child = Bun.spawn([...command], { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore', signal })
    return await child.exited
  } catch (cause) {
    throw new EdgeError(
      'config_invalid',
      `Cannot run "${command[0]}" (commands.identify_command): ${messageOf(cause)}`,
      {
        cause,
      },
    )
  }
}
