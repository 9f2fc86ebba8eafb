/** What a command has gathered, on its way to a registry that may be reached by HTTP or not. */
import { describe, expect, test } from 'bun:test'
import { attach, INLINE_BYTES_MAX } from '../../src/app/agent/attachment.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { HastyClock } from '../kit/hasty-clock.ts'

const content = (bytes: number) => ({ bytes: new Uint8Array(bytes).fill(7), type: 'application/gzip' })
const sha256 = (bytes: number) =>
  new Bun.CryptoHasher('sha256').update(new Uint8Array(bytes).fill(7)).digest('hex')

function stageBring(outcomes: readonly (EdgeError | undefined)[], signal = new AbortController().signal) {
  let tries = 0
  const to = {
    rid: 'a'.repeat(32),
    clock: new HastyClock(),
    signal,
    bring: async () => {
      const outcome = outcomes[Math.min(tries, outcomes.length - 1)]
      tries += 1
      if (outcome !== undefined) throw outcome
    },
  }
  return { to, tries: () => tries }
}

const AWAY = new EdgeError('peer_failed', 'Cannot bring it: nobody answers')
const NO_HTTP = new EdgeError('unsupported', 'Cannot upload: no HTTP')

test('it goes by HTTP, however little it is, and at the third try if need be', async () => {
  const { to, tries } = stageBring([AWAY, AWAY, undefined])
  const described = { bytes: 3, sha256: sha256(3), content_type: 'application/gzip' }
  expect(await attach(content(3), to)).toEqual({ ...described, at: 'upload' })
  expect(tries()).toBe(3)
})

describe('where HTTP does not go', () => {
  const most = (INLINE_BYTES_MAX / 4) * 3

  test.each([
    ['after three tries', AWAY, 3],
    ['at once where there is none', NO_HTTP, 1],
  ])('%s, what is little goes with the event', async (_, outcome, tries) => {
    const stage = stageBring([outcome])
    const attachment = await attach(content(most), stage.to)
    expect(attachment).toMatchObject({ at: 'inline', bytes: most, sha256: sha256(most) })
    expect(Buffer.from(attachment.base64 ?? '', 'base64')).toEqual(Buffer.alloc(most, 7))
    expect(stage.tries()).toBe(tries)
  })

  test('what is more fails, and says that it takes HTTP and why there is none', async () => {
    await expect(attach(content(most + 1), stageBring([NO_HTTP]).to)).rejects.toThrow(
      `Cannot upload ${most + 1} bytes: it takes HTTP to the registry, and: Cannot upload: no HTTP`,
    )
  })
})

test('what is more than the registry takes is not even tried', async () => {
  const { to, tries } = stageBring([undefined])
  await expect(attach(content(32 * 1024 ** 2 + 1), to)).rejects.toThrow('at most 33554432')
  expect(tries()).toBe(0)
})

test('a stop ends the tries', async () => {
  const stop = new AbortController()
  stop.abort(new Error('stopping'))
  const { to, tries } = stageBring([AWAY], stop.signal)
  await expect(attach(content(3), to)).rejects.toThrow('stopping')
  expect(tries()).toBe(0)
})
