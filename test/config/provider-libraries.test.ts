import { expect, test } from 'bun:test'
import { NamedLibraries, ProviderLibraries } from '../../src/config/provider-libraries.ts'

const PLUG = { name: 'plug', path: '/opt/plug.so' }

test('a library is a name and a path; which device of which provider is up to it', () => {
  expect(NamedLibraries.parse([PLUG])).toEqual([{ ...PLUG, device_index: 0 }])
  const full = { ...PLUG, provider: 'PlugExecutionProvider', device: 'npu', device_index: 1 }
  expect(NamedLibraries.parse([full])).toEqual([full as never])
})

test.each([
  [
    'two of one name',
    [PLUG, { ...PLUG, path: '/elsewhere.so' }],
    '"plug" is taken by another library of this list',
  ],
  ['the processor', [{ ...PLUG, name: 'cpu' }], 'is the processor, which needs no library'],
  ['the processor in full', [{ ...PLUG, name: 'CPUExecutionProvider' }], 'is the processor'],
  ['a path that hangs on where it is run', [{ ...PLUG, path: 'plug.so' }], 'must start with "/"'],
  ['a kind of device that is none', [{ ...PLUG, device: 'fpga' }], 'expected one of "cpu"|"gpu"|"npu"'],
  ['more than anybody has', Array.from({ length: 17 }, (_, n) => ({ ...PLUG, name: `p${n}` })), '<=16'],
])('%s is refused', (_, libraries, says) => {
  const messages = NamedLibraries.safeParse(libraries).error?.issues.map(({ message }) => message)
  expect(messages?.join()).toContain(says)
})

test('a profile may name several places of one provider', () => {
  expect(ProviderLibraries.parse([PLUG, { ...PLUG, path: '/elsewhere.so' }])).toHaveLength(2)
})
