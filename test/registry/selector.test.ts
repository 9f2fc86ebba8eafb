/** Which devices a selector means, and what is none. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isSelected, parseSelector, type Selectable } from '../../src/registry/selector.ts'
import { SEED } from '../kit/seed.ts'
import { bodyOf, jsonRequest, type RegistryStage, stageRegistry } from './stage.ts'

const device: Selectable = {
  id: 'cam-07',
  hardware: 'jetson-orin-nano',
  tags: { site: 'berlin', line: '3' },
  running: { 'vision/yolo': '3.1.0' },
}

describe('a device is selected by', () => {
  test.each([
    ['all', true],
    ['id=cam-07', true],
    ['id=cam-01|cam-07', true],
    ['id=cam-*', true],
    ['id!=cam-07', false],
    ['id!=cam-01 and id!=cam-02', true],
    ['hardware=jetson-*', true],
    ['hardware=jetson', false],
    ['tag.site=berlin|paris', true],
    ['tag.site!=berlin', false],
    ['tag.floor=3', false],
    ['tag.floor!=3', true],
    ['tag.site=*', true],
    ['running.vision/yolo=3.1.0', true],
    // A point stands for itself.
    ['running.vision/yolo=3x1x0', false],
    ['running.vision/yolo!=*', false],
    ['running.vision/other!=*', true],
    ['tag.site=berlin and hardware=jetson-* and running.vision/yolo=3.*', true],
    ['tag.site=berlin  and  hardware=x64', false],
  ])('%s: %p', (text, expected) => {
    expect(isSelected(parseSelector(text), device)).toBe(expected)
  })
})

describe('refused in words', () => {
  test.each([
    ['', 'it is empty'],
    ['everything', '"everything" is no term of the form KEY=VALUE or KEY!=VALUE'],
    ['site=berlin', '"site" is none of id, hardware, tag.NAME, running.FAMILY/NAME'],
    ['tag.Site=berlin', `"Site" is no tag's name`],
    ['tag.=berlin', `"" is no tag's name`],
    ['running.yolo=3', '"yolo" is no model, which reads family/name'],
    ['id=', '"" is no value for "id"'],
    ['id=cam 01', '"cam 01" is no value for "id"'],
    ['id=cam-01 or id=cam-02', '"cam-01 or id=cam-02" is no value for "id"'],
    ['id=cam-01 and', '"cam-01 and" is no value for "id"'],
    ['id=(cam)+', '"(cam)+" is no value for "id"'],
    ['x'.repeat(2_001), '2001 characters, at most 2000'],
  ])('%p', (text, why) => {
    expect(() => parseSelector(text)).toThrow(`: ${why}`)
  })
})

test('whatever is typed is a selector or is refused as input, and a term and its negation never both hold', () => {
  const piece = fc.constantFrom(
    'id',
    'tag.a',
    'running.a/b',
    'hardware',
    '=',
    '!=',
    '|',
    '*',
    ' and ',
    'x',
    '.',
    '(',
    '\\',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        isSelected(parseSelector(pieces.join('')), device)
      } catch (error) {
        expect(error).toMatchObject({ name: 'EdgeError', code: 'input_invalid' })
      }
    }),
    { seed: SEED, numRuns: 500 },
  )
  fc.assert(
    fc.property(
      fc.constantFrom('id', 'tag.site', 'hardware', 'tag.none'),
      fc.stringMatching(/^[a-z0-9*.-]{1,8}$/),
      (key, value) => {
        const [is, isNot] = [`${key}=${value}`, `${key}!=${value}`].map((text) =>
          isSelected(parseSelector(text), device),
        )
        expect(is).toBe(!isNot)
      },
    ),
    { seed: SEED, numRuns: 200 },
  )
})

describe('tags', () => {
  let stage: RegistryStage
  beforeAll(async () => {
    stage = await stageRegistry()
    stage.registry.devices.enrol('cam-01', { names: ['x64', 'plain-x86'] })
  })
  afterAll(() => stage.remove())

  const put = (id: string, tags: unknown) =>
    stage.app.request(`/v1/devices/${id}/tags`, jsonRequest('PUT', { tags }, stage.as('operator')))
  const seen = async () => {
    const headers = stage.as('viewer')
    return (await bodyOf(await stage.app.request('/v1/devices/cam-01', { headers })))['tags']
  }

  test('are written as a whole, and stand in the list', async () => {
    expect((await put('cam-01', { site: 'berlin', line: '3' })).status).toBe(200)
    expect(await seen()).toEqual({ site: 'berlin', line: '3' })
    expect((await put('cam-01', { site: 'paris' })).status).toBe(200)
    const list = await bodyOf(await stage.app.request('/v1/devices', { headers: stage.as('viewer') }))
    expect(list).toMatchObject({
      devices: [{ id: 'cam-01', tags: { site: 'paris' }, hardware_class: 'plain-x86' }],
    })
  })

  test.each([
    ['cam-01', { Site: 'berlin' }, 400, `"Site" is no tag's name`],
    ['cam-01', { site: 'ber lin' }, 400, 'letters, digits'],
    ['cam-01', { site: 3 }, 400, 'expected string'],
    [
      'cam-01',
      Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`t${at}`, 'x'])),
      400,
      '65 tags, at most 64',
    ],
    ['cam-99', { site: 'berlin' }, 404, 'none is enrolled so'],
  ])('%s %j: refused in words, and nothing changes', async (id, tags, status, words) => {
    const before = await seen()
    const answer = await put(id, tags)
    expect([answer.status, (await bodyOf(answer))['message']]).toEqual([
      status,
      expect.stringContaining(words),
    ])
    expect(await seen()).toEqual(before)
  })

  test('outlive a new enrolment, and a report says what hardware it is', () => {
    const { devices } = stage.registry
    devices.enrol('cam-01', {})
    expect(devices.get('cam-01')).toMatchObject({ tags: { site: 'paris' }, hardware_class: 'unknown' })
    const body = { hardware_class: 'jetson-orin', rev: 3 }
    devices.keepState('cam-01', { sid: 'a', seq: 1, online: true, body })
    expect(devices.get('cam-01')).toMatchObject({ hardware_class: 'jetson-orin' })
  })
})
