import { messageOf } from '../../kit/errors.ts'

/** Why nobody has answered, without the advice that an HTTP client has for a browser's user. */
export function describeFailure(error: unknown): string {
  const message = messageOf(error)
  if (/ECONNREFUSED|ConnectionRefused|Unable to connect/.test(message)) return 'nobody listens there'
  return /timed out|TimeoutError/i.test(message) ? 'no answer in time' : message
}
