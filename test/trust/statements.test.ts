/** What is signed beside TUF: envelopes, assignments, manifests; and whether a version may run at all. */
import { describe, expect, test } from 'bun:test'
import { approveModel, type ModelFacts } from '../../src/trust/approval.ts'
import { ASSIGNMENT_TYPE, signAssignment, verifyAssignment } from '../../src/trust/assignment.ts'
import { type CanonicalValue, decodeCanonical, encodeCanonical } from '../../src/trust/canonical-json.ts'
import { openEnvelope, preAuthenticationEncoding, sealEnvelope } from '../../src/trust/dsse.ts'
import { generateKeyPem, readSigningKey } from '../../src/trust/key.ts'
import { chooseVariant, encodeManifest, type ListedManifest, readManifest } from '../../src/trust/manifest.ts'
import { isFamilyName, splitModel, splitTarget } from '../../src/trust/names.ts'
import { hash, manifestOf } from './fleet.ts'
import { newKey, outcomeOf } from './tuf-simulator.ts'

const BOUNDS = { bytesMax: 1000, depthMax: 4 }
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

describe('canonical JSON', () => {
  test('has one way to write a value', () => {
    expect(text(encodeCanonical({ b: [1, 'ä"\\\n'], a: { d: null, c: true } }))).toBe(
      '{"a":{"c":true,"d":null},"b":[1,"ä\\"\\\\\\n"]}',
    )
  })

  test.each([
    ['a fraction', 0.5],
    ['an integer that is not exact', 2 ** 53],
    ['minus zero', -0],
    ['half a surrogate pair', '\ud800'],
  ])('%s cannot be written', (_name, value) => {
    expect(() => encodeCanonical({ value } as CanonicalValue)).toThrow(TypeError)
  })

  test.each([
    ['space', '{ "a":1}'],
    ['keys out of order', '{"b":1,"a":1}'],
    ['a key twice', '{"a":1,"a":1}'],
    ['a number in another form', '{"a":1.0}'],
    ['an escape that is not needed', '{"a":"\\u0041"}'],
    ['a byte order mark', '\ufeff{}'],
    ['something after it', '{}1'],
    ['deeper than the bound', '[[[[[]]]]]'],
    ['longer than the bound', `"${'a'.repeat(999)}"`],
  ])('%s is refused', (_name, json) => {
    expect(() => decodeCanonical(Buffer.from(json), BOUNDS)).toThrow()
  })

  test('at the bounds it is read', () => {
    expect(decodeCanonical(Buffer.from('[[[[]]]]'), BOUNDS)).toEqual([[[[]]]])
    expect(decodeCanonical(Buffer.from(`"${'a'.repeat(998)}"`), BOUNDS)).toBe('a'.repeat(998))
  })
})

describe('envelopes', () => {
  test('what is signed is the encoding of the DSSE specification', () => {
    const encoded = preAuthenticationEncoding('http://example.com/HelloWorld', Buffer.from('hello world'))
    expect(text(encoded)).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world')
  })

  test('type and payload cannot flow into one another', () => {
    expect(preAuthenticationEncoding('ab', Buffer.from('c'))).not.toEqual(
      preAuthenticationEncoding('a', Buffer.from('bc')),
    )
  })

  test('opens for the key that sealed it, whatever the key id says', () => {
    const key = newKey()
    const sealed = JSON.parse(text(sealEnvelope(Buffer.from('x'), { type: 't', keys: [key] }))) as {
      signatures: { keyid: string }[]
    }
    for (const signature of sealed.signatures) signature.keyid = 'of somebody else'
    const open = (public_: string) =>
      openEnvelope(Buffer.from(JSON.stringify(sealed)), {
        type: 't',
        keys: [{ id: '', public: public_ }],
        bytesMax: 1000,
      })
    expect(open(key.json.keyval.public)).toEqual({
      payload: new Uint8Array(Buffer.from('x')),
      isSigned: true,
    })
    expect(open(newKey().json.keyval.public).isSigned).toBe(false)
  })
})

describe('keys', () => {
  test('encrypted, they open with the passphrase only, and no error holds it', () => {
    const pem = generateKeyPem('correct horse')
    expect(pem).toContain('ENCRYPTED')
    expect(readSigningKey(pem, { name: 'k', passphrase: 'correct horse' }).id).toHaveLength(64)
    expect(() => readSigningKey(pem, { name: 'k' })).toThrow('--passphrase-file')
    expect(() => readSigningKey(pem, { name: 'k', passphrase: 'wrong horse' })).toThrow(
      /^((?!wrong horse).)*$/,
    )
  })

  test('of another kind are refused', () => {
    expect(() =>
      readSigningKey('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', { name: 'k' }),
    ).toThrow('"k"')
  })
})

const ENTRY = {
  model: 'vision/yolo',
  version: '3.2.0',
  manifest: hash('m'),
  release: 57,
  allow_downgrade: false,
}
const director = newKey()
const KEYS = [{ id: director.id, public: director.json.keyval.public }]

function assigned(change: object = {}) {
  return { device: 'cam-07', rev: 17, issued: '2026-11-01T00:00:00Z', models: [ENTRY], ...change }
}

function verdict(envelope: Uint8Array, lastRev = 16) {
  return outcomeOf(() =>
    Promise.resolve().then(
      () => void verifyAssignment(envelope, { device: 'cam-07', directorKeys: KEYS, lastRev }),
    ),
  )
}

describe('assignments', () => {
  test('come out as they went in', () => {
    const full = assigned({
      models: [
        {
          ...ENTRY,
          rollout: 'r-118',
          wave: 2,
          priority: 50,
          schedule: {
            not_before: '2026-11-02T00:00:00Z',
            window: '0 2 * * *',
            window_seconds: 10_800,
            defer_seconds_max: 604_800,
          },
          policy: {
            observe_seconds: 900,
            requests_min: 200,
            error_percent_max: 1,
            p95_percent_max: 130,
            on_failure: 'revert',
          },
        },
      ],
      keep: ['vision/yolo@3.1.0'],
    })
    const envelope = signAssignment(full as Parameters<typeof signAssignment>[0], director)
    expect(
      verifyAssignment(envelope, { device: 'cam-07', directorKeys: KEYS, lastRev: 16 }) as object,
    ).toEqual(full)
  })

  test('a registry that is newer than the device may say more', async () => {
    const payload = encodeCanonical({ ...assigned(), keep: [], something_new: 1 })
    expect(await verdict(sealEnvelope(payload, { type: ASSIGNMENT_TYPE, keys: [director] }))).toBe('ok')
  })

  test.each([
    ['of a rev that was taken', 'assignment_replayed', () => signAssignment(assigned({ rev: 16 }), director)],
    ['of an older rev', 'assignment_replayed', () => signAssignment(assigned({ rev: 3 }), director)],
    [
      'for another device',
      'assignment_other_device',
      () => signAssignment(assigned({ device: 'cam-08' }), director),
    ],
    ['signed by another key', 'assignment_signature', () => signAssignment(assigned(), newKey())],
    [
      'with a payload that was changed',
      'assignment_signature',
      () => swapped(signAssignment(assigned(), director)),
    ],
    [
      'of another type',
      'assignment_malformed',
      () => sealEnvelope(encodeCanonical(assigned()), { type: 'application/json', keys: [director] }),
    ],
    [
      'that is not canonical',
      'assignment_malformed',
      () =>
        sealEnvelope(Buffer.from(JSON.stringify(assigned(), undefined, 1)), {
          type: ASSIGNMENT_TYPE,
          keys: [director],
        }),
    ],
    [
      'with a model twice',
      'assignment_malformed',
      () =>
        sealEnvelope(encodeCanonical(assigned({ models: [ENTRY, ENTRY] })), {
          type: ASSIGNMENT_TYPE,
          keys: [director],
        }),
    ],
    [
      'of a model without a family',
      'assignment_malformed',
      () =>
        sealEnvelope(encodeCanonical(assigned({ models: [{ ...ENTRY, model: 'yolo' }] })), {
          type: ASSIGNMENT_TYPE,
          keys: [director],
        }),
    ],
    [
      'without a signature',
      'assignment_malformed',
      () => sealEnvelope(encodeCanonical(assigned()), { type: ASSIGNMENT_TYPE, keys: [] }),
    ],
    ['that is too long', 'assignment_malformed', () => new Uint8Array(1024 * 1024)],
  ])('%s: refused', async (_name, reason, make) => {
    expect(await verdict(make())).toBe(reason)
  })

  test('nobody may sign: refused', async () => {
    const envelope = signAssignment(assigned(), director)
    const take = () => verifyAssignment(envelope, { device: 'cam-07', directorKeys: [], lastRev: 0 })
    expect(await outcomeOf(() => Promise.resolve().then(take))).toBe('director_unknown')
  })
})

function swapped(envelope: Uint8Array): Uint8Array {
  const json = JSON.parse(text(envelope)) as { payload: string }
  json.payload = Buffer.from(encodeCanonical(assigned({ rev: 99 }))).toString('base64')
  return Buffer.from(JSON.stringify(json))
}

describe('manifests', () => {
  const manifest = manifestOf('3.2.0', 57)
  const bytes = encodeManifest(manifest)
  const LISTED: ListedManifest = {
    model: 'vision/yolo',
    version: '3.2.0',
    release: 57,
    sha256: hash(bytes),
    bytes: bytes.length,
  }
  const read = (content: Uint8Array, listed: Partial<ListedManifest> = {}) =>
    outcomeOf(() => Promise.resolve().then(() => void readManifest(content, { ...LISTED, ...listed })))

  test('come out as they went in', () => {
    expect(readManifest(bytes, LISTED)).toEqual(manifest)
  })

  test('each byte changed: refused', async () => {
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Uint8Array.from(bytes)
      changed[index] = (changed[index] ?? 0) ^ 1
      expect(await read(changed)).toBe('manifest_hash')
    }
  })

  test.each([
    ['another model', 'manifest_mismatch', { model: 'vision/other' }],
    ['another version', 'manifest_mismatch', { version: '3.2.1' }],
    ['another release', 'manifest_mismatch', { release: 58 }],
  ])('listed for %s: refused', async (_name, reason, listed) => {
    expect(await read(bytes, listed)).toBe(reason)
  })

  test.each([
    ['a path out of the folder', (json: string) => json.replaceAll('3.2.0/model.onnx', '../model.onnx')],
    ['an absolute path', (json: string) => json.replaceAll('3.2.0/model.onnx', '/etc/passwd')],
    ['a hidden file', (json: string) => json.replaceAll('3.2.0/model.onnx', '3.2.0/.hidden')],
    ['the place of the manifest', (json: string) => json.replaceAll('3.2.0/model.onnx', 'manifest.json')],
    ['a negative size', (json: string) => json.replace('"bytes":10', '"bytes":-1')],
    ['a size without bounds', (json: string) => json.replace('"bytes":10', '"bytes":9007199254740991')],
    ['another format', (json: string) => json.replace('"format":1', '"format":2')],
    ['no variants', (json: string) => json.replace(/"variants":\[.*?\]\}\]/, '"variants":[]')],
    ['no JSON', () => '{'],
  ])('%s: refused', async (_name, change) => {
    const changed = Buffer.from(change(text(bytes)))
    expect(await read(changed, { sha256: hash(changed), bytes: changed.length })).toBe('manifest_malformed')
  })

  test('the first variant that fits the hardware is taken', () => {
    const choose = (names: string[], providers: string[]) =>
      chooseVariant(manifest, { names, providers }).name
    expect(choose(['arm64', 'sm87'], ['cuda', 'cpu'])).toBe('fp16')
    expect(choose(['arm64', 'sm87'], ['cpu'])).toBe('fp32')
    expect(choose(['x64'], ['cpu'])).toBe('fp32')
    expect(() => choose(['x64'], ['cuda'])).toThrow('this device is x64 with cuda')
  })
})

describe('approval', () => {
  const LISTED: ListedManifest = {
    model: 'vision/yolo',
    version: '3.2.0',
    release: 57,
    sha256: hash('m'),
    bytes: 8,
  }
  const approve = (facts: Partial<ModelFacts>, running: number | undefined, entry: object = {}) =>
    outcomeOf(() =>
      Promise.resolve().then(
        () => void approveModel({ ...ENTRY, ...entry }, { listed: LISTED, floor: 0, ...facts }, running),
      ),
    )

  test.each([
    ['listed and newer', 'ok', {}, 56, {}],
    ['the first', 'ok', {}, undefined, {}],
    ['the same again', 'ok', {}, 57, {}],
    ['at the floor', 'ok', { floor: 57 }, 56, {}],
    ['not listed', 'model_unlisted', { listed: undefined }, 56, {}],
    ['another manifest than the signed one', 'manifest_hash', {}, 56, { manifest: hash('other') }],
    ['another release than the signed one', 'manifest_mismatch', {}, 56, { release: 58 }],
    ['under the floor', 'below_security_floor', { floor: 58 }, 56, {}],
    [
      'under the floor, and the director allows it',
      'below_security_floor',
      { floor: 58 },
      60,
      { allow_downgrade: true },
    ],
    ['older than what runs', 'downgrade_not_allowed', {}, 58, {}],
    ['older than what runs, and the director allows it', 'ok', {}, 58, { allow_downgrade: true }],
  ] as const)('%s: %s', async (_name, outcome, facts, running, entry) => {
    expect(await approve(facts as Partial<ModelFacts>, running, entry)).toBe(outcome)
  })
})

describe('names', () => {
  test.each([
    'root',
    'targets',
    'snapshot',
    'timestamp',
    '',
    '.',
    '..',
    'a/b',
    '__proto__',
    'constructor',
    'a'.repeat(129),
  ])('"%s" is no family', (name) => {
    expect(isFamilyName(name)).toBe(false)
  })

  test('a model is a family and a name, a target a model and a version', () => {
    expect(splitModel('vision/yolo')).toEqual({ family: 'vision', name: 'yolo' })
    expect(splitTarget('models/vision/yolo/3.2.0.json')).toEqual({ model: 'vision/yolo', version: '3.2.0' })
    for (const wrong of ['vision', 'vision/', '/yolo', 'a/b/c', 'vision/..', 'root/yolo'])
      expect(splitModel(wrong)).toBeUndefined()
    for (const wrong of ['models/a/b', 'models/a/b/.json', 'keys/director.json', 'models/a/b/c/d.json'])
      expect(splitTarget(wrong)).toBeUndefined()
  })
})
