import { expect, test } from 'bun:test'
import { z } from 'zod'
import { chooseProfile } from '../../src/config/profile.ts'
import { parseToml } from '../../src/config/toml.ts'

test.each(['x64', 'arm64'])('%s has a profile of its own, complete', (architecture) => {
  const { profile, reason } = chooseProfile({ architecture })
  expect(profile).toMatchObject({
    name: architecture,
    match: { architecture },
    runtime: { libraries: [], providers: ['cpu'] },
  })
  expect(reason).toBe(`the processor is ${architecture}`)
})

test('a processor that nobody knows gets the safe one, and is told', () => {
  const { profile, reason } = chooseProfile({ architecture: 'riscv64' })
  expect(profile.runtime.providers).toEqual(['cpu'])
  expect(reason).toContain('riscv64')
})

test('a fault of the schema itself is not taken for one of the file', () => {
  const broken = z.unknown().transform(() => {
    throw new Error('the schema is wrong')
  })
  expect(() => parseToml(broken, { path: 'a.toml', text: '' })).toThrow('the schema is wrong')
})
