/** The small files of src/kit that depend on nothing. */
import { afterAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { assert, present } from '../../src/kit/assert.ts'
import { afterFailure, type BackoffPolicy } from '../../src/kit/backoff.ts'
import { decodeBfloat16, encodeBfloat16 } from '../../src/kit/bfloat16.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { writeDurably } from '../../src/kit/durable-file.ts'
import { unpackEmbedded } from '../../src/kit/embedded-file.ts'
import { BugError, EdgeError, messageOf } from '../../src/kit/errors.ts'
import { createFolder } from './binary.ts'
import { SEED } from './seed.ts'

const folder = await createFolder()
afterAll(folder.remove)

async function emptyFolder(name: string): Promise<string> {
  const path = join(folder.path, name)
  await mkdir(path)
  return path
}

describe('assert', () => {
  test('a broken claim is a BugError with the claim in it', () => {
    expect(() => assert(false, 'one is one')).toThrow(new BugError('Broken claim: one is one'))
    expect(() => assert(true, 'one is one')).not.toThrow()
  })

  test.each([0, '', false, Number.NaN])('present gives back %p: it is there', (value) => {
    expect(present(value, 'there')).toBe(value)
  })

  test.each([null, undefined])('present refuses %p', (value) => {
    expect(() => present(value, 'there')).toThrow(new BugError('Broken claim: there'))
  })
})

test('the words of anything that was thrown are on one line', () => {
  const thrown = [new Error('one\n  two\t three '), 'text', undefined]
  expect(thrown.map(messageOf)).toEqual(['one two three', 'text', 'undefined'])
})

describe('backoff', () => {
  const POLICY: BackoffPolicy = { firstMs: 100, longestMs: 1_500, healthyMs: 60_000, failuresMax: 7 }

  function failAll(ranMs: readonly number[]) {
    let failures = { inARow: 0 }
    return ranMs.map((ran) => {
      const after = afterFailure(POLICY, failures, ran)
      failures = after.failures
      return after.verdict.do === 'retry' ? after.verdict.afterMs : after.verdict.do
    })
  }

  test('doubles up to the longest, then gives up', () => {
    expect(failAll([0, 0, 0, 0, 0, 0, 0])).toEqual([100, 200, 400, 800, 1_500, 1_500, 'give_up'])
  })

  test('a healthy run forgets what was before; one a millisecond shorter does not', () => {
    expect(failAll([0, 0, 59_999, 60_000, 0])).toEqual([100, 200, 400, 100, 200])
  })

  test('with one failure at most, the first is the last, however long it ran', () => {
    const policy = { ...POLICY, failuresMax: 1 }
    expect(afterFailure(policy, { inARow: 0 }, 60_000)).toEqual({
      failures: { inARow: 1 },
      verdict: { do: 'give_up' },
    })
  })
})

describe('bfloat16', () => {
  test('each of the 65,536 values comes back, a NaN as a NaN', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, index) => index)
    const decoded = decodeBfloat16(all)
    const encoded = encodeBfloat16(decoded)
    const wrong = all.filter((half, index) =>
      Number.isNaN(decoded[index])
        ? !Number.isNaN(decodeBfloat16(encoded.subarray(index, index + 1))[0])
        : encoded[index] !== half,
    )
    expect([...wrong]).toEqual([])
  })

  test.each([
    ['a tie goes to the even one below', 0x3f80_8000, 0x3f80],
    ['a tie goes to the even one above', 0x3f81_8000, 0x3f82],
    ['just under a tie goes down', 0x3f81_7fff, 0x3f81],
    ['just over a tie goes up', 0x3f80_8001, 0x3f81],
    ['the largest float becomes infinity', 0x7f7f_ffff, 0x7f80],
    ['the lowest float becomes minus infinity', 0xff7f_ffff, 0xff80],
    ['a NaN with nothing in its upper half stays one', 0x7f80_0001, 0x7fc0],
    ['a NaN with all bits stays one', 0xffff_ffff, 0xffff],
  ])('%s', (_, bits, half) => {
    expect(encodeBfloat16(new Float32Array(Uint32Array.of(bits).buffer))[0]).toBe(half)
  })

  test('no other value is nearer', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: Math.fround(-1e30), max: Math.fround(1e30) }), (value) => {
        const [half = 0] = encodeBfloat16(Float32Array.of(value))
        const near = (candidate: number) =>
          Math.abs((decodeBfloat16(Uint16Array.of(candidate))[0] ?? Number.NaN) - value)
        if ((half & 0x7fff) > 0) expect(near(half)).toBeLessThanOrEqual(near(half - 1))
        expect(near(half)).toBeLessThanOrEqual(near(half + 1))
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('sleep', () => {
  test('a signal that has fired, or fires, ends it at once', async () => {
    const hour = 3_600_000
    await systemClock.sleep(hour, AbortSignal.abort())
    const abort = new AbortController()
    const asleep = systemClock.sleep(hour, abort.signal)
    abort.abort()
    await asleep
  })

  test('without one it lasts as long as it should', async () => {
    const began = systemClock.elapsed()
    await systemClock.sleep(5)
    // A timer may fire within the millisecond before.
    expect(systemClock.elapsed() - began).toBeGreaterThanOrEqual(4)
  })
})

describe('writeDurably', () => {
  test('replaces the whole file, and leaves nothing beside it', async () => {
    const home = await emptyFolder('replace')
    await writeDurably(join(home, 'file'), Buffer.from('a long first text'))
    await writeDurably(join(home, 'file'), Buffer.from('short'))
    expect(await Bun.file(join(home, 'file')).text()).toBe('short')
    expect(await readdir(home)).toEqual(['file'])
  })

  test('gives the file its mode', async () => {
    const home = await emptyFolder('mode')
    await writeDurably(join(home, 'file'), new Uint8Array(0), 0o600)
    expect((await stat(join(home, 'file'))).mode & 0o777).toBe(0o600)
  })

  test('a failure leaves the old one and no draft', async () => {
    const home = await emptyFolder('failure')
    // A folder cannot be replaced by a file.
    await mkdir(join(home, 'file/inside'), { recursive: true })
    await expect(writeDurably(join(home, 'file'), Buffer.from('new'))).rejects.toThrow()
    expect(await readdir(home)).toEqual(['file'])
    expect(await readdir(join(home, 'file'))).toEqual(['inside'])
  })

  test('a folder that is not there is refused', async () => {
    await expect(writeDurably(join(folder.path, 'nowhere/file'), Buffer.from('new'))).rejects.toThrow(
      'ENOENT',
    )
  })
})

describe('unpackEmbedded', () => {
  const content = Buffer.from('a library '.repeat(1_000))
  const sha256 = createHash('sha256').update(content).digest('hex')

  async function packed(name: string) {
    const home = await emptyFolder(name)
    const path = join(home, 'packed')
    await Bun.write(path, zstdCompressSync(content))
    const file = { kind: 'packed', path, name: 'lib.so', sha256, bytes: content.length } as const
    return { file, state: join(home, 'state'), target: join(home, 'state', sha256, 'lib.so') }
  }

  test('a plain file is where it is', async () => {
    expect(await unpackEmbedded({ kind: 'plain', path: '/some/lib.so' }, '/nowhere')).toBe('/some/lib.so')
  })

  test('is unpacked under its hash, to be executed', async () => {
    const { file, state, target } = await packed('fresh')
    expect(await unpackEmbedded(file, state)).toBe(target)
    expect(await Bun.file(target).bytes()).toEqual(new Uint8Array(content))
    expect((await stat(target)).mode & 0o777).toBe(0o755)
  })

  test('one from an earlier start is used as it is: the packed one is not read', async () => {
    const { file, state, target } = await packed('again')
    await unpackEmbedded(file, state)
    await rm(file.path)
    expect(await unpackEmbedded(file, state)).toBe(target)
  })

  test('one that has rotted is unpacked again', async () => {
    const { file, state, target } = await packed('rotten')
    await unpackEmbedded(file, state)
    const rotten = Uint8Array.from(content)
    rotten[5_000] = 0
    await Bun.write(target, rotten)
    await unpackEmbedded(file, state)
    expect(await Bun.file(target).bytes()).toEqual(new Uint8Array(content))
  })

  test('bytes that are not those it was built with are a bug', async () => {
    const { file, state } = await packed('wrong')
    await Bun.write(file.path, zstdCompressSync(Buffer.from('another library')))
    await expect(unpackEmbedded(file, state)).rejects.toBeInstanceOf(BugError)
    expect(await readdir(join(state, '..'))).toEqual(['packed'])
  })

  test('one that holds more than it should is not unpacked', async () => {
    const { file, state } = await packed('bomb')
    await Bun.write(file.path, zstdCompressSync(Buffer.concat([content, content])))
    await expect(unpackEmbedded(file, state)).rejects.toThrow()
    expect(await readdir(join(state, '..'))).toEqual(['packed'])
  })

  test('a file where the folder should be is refused with what to do', async () => {
    const { file, state } = await packed('blocked')
    await Bun.write(state, 'a file')
    const unpacking = unpackEmbedded(file, state)
    await expect(unpacking).rejects.toBeInstanceOf(EdgeError)
    await expect(unpacking).rejects.toMatchObject({ code: 'storage_failed' })
    await expect(unpacking).rejects.toThrow('--state DIR or LIMPET_STATE')
  })
})
