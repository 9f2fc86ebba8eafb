import { describe, expect, test } from 'bun:test'
import { HttpSettings } from '../../src/config/http-settings.ts'

const HEADER = { apis: ['health'], header: 'X-Key', value: 'v' }

describe('what is taken', () => {
  test.each([
    { base_path: '' },
    { base_path: '/limpet' },
    { base_path: '/a.b/c_d~e' },
    { unix_socket: `/${'s'.repeat(106)}` },
    { restricted: [HEADER, { ...HEADER, apis: ['trace', 'logging'] }] },
    { restricted: [{ apis: ['health'], header: 'X-Key', value_file: '/run/key' }] },
  ])('%j', (settings) => {
    expect(HttpSettings.parse(settings)).toMatchObject(settings)
  })
})

describe('what is refused', () => {
  test.each<[object, string]>([
    [{ base_path: 'limpet' }, 'base_path'],
    [{ base_path: '/limpet/' }, 'base_path'],
    [{ base_path: '/:model' }, 'base_path'],
    [{ base_path: '/*' }, 'base_path'],
    [{ unix_socket: '' }, 'unix_socket'],
    [{ unix_socket: `/${'s'.repeat(107)}` }, 'unix_socket'],
    [{ restricted: [{ ...HEADER, apis: [] }] }, 'apis'],
    [{ restricted: [{ ...HEADER, apis: ['all'] }] }, 'apis'],
    [{ restricted: [{ ...HEADER, header: 'X Key' }] }, 'header'],
    [{ restricted: [{ ...HEADER, value: '' }] }, 'value'],
    [{ restricted: [{ ...HEADER, value_file: 'f' }] }, 'either value or value_file'],
    [{ restricted: [{ apis: ['health'], header: 'X-Key' }] }, 'either value or value_file'],
    [{ restricted: [HEADER, HEADER] }, 'health stands in two entries'],
  ])('%j', (settings, message) => {
    const parsed = HttpSettings.safeParse(settings)
    expect(JSON.stringify(parsed.error?.issues)).toContain(message)
  })
})
