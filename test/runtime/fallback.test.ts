import { expect, test } from 'bun:test'
import type { ProviderChoice } from '../../src/runtime/backend.ts'
import { openWithFallback, ProviderError, plainReason } from '../../src/runtime/fallback.ts'

const choices = (...names: string[]): ProviderChoice[] => names.map((name) => ({ name, options: {} }))

/** Opens with providers for which `says` has no error, and keeps what it was asked for, in order. */
function stage(says: (names: readonly string[]) => Error | undefined) {
  const asked: string[] = []
  const open = (providers: readonly ProviderChoice[]) => {
    const names = providers.map(({ name }) => name)
    asked.push(names.join(' '))
    const error = says(names)
    return error === undefined ? Promise.resolve(`on ${names.join(' ')}`) : Promise.reject(error)
  }
  return { asked, open }
}

test('providers that take the model are left as they are', async () => {
  const { asked, open } = stage(() => undefined)
  const { session, refusals } = await openWithFallback(choices('tensorrt', 'cuda', 'cpu'), open)
  expect({ session, refusals, asked }).toEqual({
    session: 'on tensorrt cuda cpu',
    refusals: [],
    asked: ['tensorrt cuda cpu'],
  })
})

test('the one that says itself that it cannot is taken out, and no other', async () => {
  const { asked, open } = stage((names) =>
    names.includes('cuda') ? new ProviderError('cuda', new Error('no driver')) : undefined,
  )
  const opened = await openWithFallback(choices('tensorrt', 'cuda', 'cpu'), open)
  expect(opened.session).toBe('on tensorrt cpu')
  expect(opened.refusals).toEqual([{ provider: 'cuda', reason: 'no driver' }])
  expect(asked).toEqual(['tensorrt cuda cpu', 'tensorrt cpu'])
})

test('where a session fails and nobody says because of whom, the first goes, then the next, each with its reason', async () => {
  const { asked, open } = stage((names) =>
    names.length > 1 ? new Error(`${names[0]} is out of memory`) : undefined,
  )
  const opened = await openWithFallback(choices('tensorrt', 'cuda', 'cpu'), open)
  expect(opened.session).toBe('on cpu')
  expect(opened.providers).toEqual(choices('cpu'))
  expect(opened.refusals).toEqual([
    { provider: 'tensorrt', reason: 'tensorrt is out of memory' },
    { provider: 'cuda', reason: 'cuda is out of memory' },
  ])
  expect(asked).toEqual(['tensorrt cuda cpu', 'cuda cpu', 'cpu'])
})

test('one that is a must fails the load, after the others had their try', async () => {
  const { asked, open } = stage(
    (names) => new ProviderError(names[0] ?? '', new Error(`${names[0]} is away`)),
  )
  await expect(openWithFallback(choices('tensorrt', 'cuda', 'cpu'), open, ['cuda'])).rejects.toThrow(
    'cuda is away',
  )
  expect(asked).toEqual(['tensorrt cuda cpu', 'cuda cpu'])
})

test.each([
  ['named', ['cuda', 'cpu']],
  ['not named', ['cuda']],
])('a model that the processor does not take either fails with what is said there (%s)', async (_, names) => {
  const { open } = stage((left) => new Error(left.includes('cuda') ? 'no driver' : 'broken model'))
  await expect(openWithFallback(choices(...names), open)).rejects.toThrow('broken model')
})

test.each([
  [
    '/src/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /opt/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory',
    'Failed to load library /opt/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory',
  ],
  ['no driver', 'no driver'],
  ['[ONNXRuntimeError] : 1 : FAIL : ', '[ONNXRuntimeError] : 1 : FAIL : '],
])('a reason is told without where in the source it was found: %s', (message, reason) => {
  expect(plainReason(message)).toBe(reason)
})
