/** Paths that clients send: none leaves its folder. */
import { expect, test } from 'bun:test'
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, normalize } from 'node:path'
import fc from 'fast-check'
import { pathProblem, SentModels } from '../../src/store/sent-files.ts'
import { SEED } from '../kit/seed.ts'

const part = fc.oneof(
  fc.constantFrom(
    '',
    '.',
    '..',
    '1',
    'model.onnx',
    '...',
    '~',
    '\\',
    '\0',
    'x'.repeat(256),
    '%2e%2e',
    '\ud800',
  ),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const path = fc.array(part, { minLength: 1, maxLength: 10 }).map((parts) => parts.join('/'))

test('what is allowed is there afterwards, within the folder, and goes; what is not has words', async () => {
  const state = await mkdtemp(join(tmpdir(), 'limpet-test-'))
  const sent = new SentModels(join(state, 'sent'))
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(path, { maxLength: 4 }), async (paths) => {
      const files = new Map(paths.map((of, index) => [of, new Uint8Array(index)]))
      const used = sent.use('net', files, async (root) => {
        for (const [index, of] of paths.entries()) {
          expect(join(root, 'net', of)).toStartWith(join(root, 'net/'))
          expect(normalize(of)).toBe(of)
          expect((await lstat(join(root, 'net', of))).size).toBe(index)
        }
        return 'used'
      })
      if (pathProblem(paths) === undefined) expect(await used).toBe('used')
      else expect(used).rejects.toMatchObject({ code: 'input_invalid' })
      await used.catch(() => undefined)
      expect(await readdir(join(state, 'sent')).catch(() => [])).toEqual([])
      expect(await readdir(state)).toHaveLength(
        await readdir(join(state, 'sent')).then(
          () => 1,
          () => 0,
        ),
      )
    }),
    { seed: SEED, numRuns: 300 },
  )
  await rm(state, { recursive: true })
})

test.each(['1/model.onnx', '1/weights.bin', 'labels.txt', '1/model.onnx/model.onnx', 'a b/ü', '..a/b..'])(
  '"%s" is a path',
  (of) => expect(pathProblem([of])).toBeUndefined(),
)

test.each([
  ['', 'is empty'],
  ['/etc/passwd', 'absolute'],
  ['1//model.onnx', 'empty part'],
  ['1/', 'empty part'],
  ['../x', '".."'],
  ['1/../../x', '".."'],
  ['1/./x', '"."'],
  ['1\\x', 'a character'],
  ['1/\0', 'a character'],
  [`1/${'ü'.repeat(128)}`, '256 bytes, at most 255'],
  ['1/2/3/4/5/6/7/8/9', '9 deep, at most 8'],
])('%j is none', (of, says) => {
  expect(pathProblem([of])).toContain(says)
})

test('none is a file and a folder', () => {
  expect(pathProblem(['1/a/b', '1/a'])).toBe('"1/a" is a file, and "1/a/b" is in it')
  expect(pathProblem(['1/a/b', '1/ab', '1/b'])).toBeUndefined()
})
