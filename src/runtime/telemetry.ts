import { dlopen } from 'bun:ffi'
import { assert } from '../kit/assert.ts'
import { cString } from './memory.ts'

/**
 * The official libraries from 1.29 on report to Microsoft when a session is created. They ask getenv(3), which
 * assigning to `process.env` does not reach, so libc is told itself, before the library is loaded.
 */
export function silenceTelemetry(): void {
  const libc = dlopen('libc.so.6', { setenv: { args: ['ptr', 'ptr', 'i32'], returns: 'i32' } })
  const one = cString('1')
  for (const name of ['ORT_DISABLE_TELEMETRY', 'ORT_TELEMETRY_DISABLED']) {
    const key = cString(name)
    assert(libc.symbols.setenv(key.bytes, one.bytes, 1) === 0, `setenv(${name}) succeeds`)
  }
}
