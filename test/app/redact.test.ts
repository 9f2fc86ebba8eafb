/** No secret leaves the device by a report, and what a person needs of it stays. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { redact, redactJson } from '../../src/app/redact.ts'
import { SEED } from '../kit/seed.ts'

const S = 'Tr0ub4dor-and-3'
const PEM = `-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIgq${S.replaceAll('-', '')}\nAbC=\n-----END EC PRIVATE KEY-----`
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N'
const TOKEN = `le_${'0123456789abcdef'}_${'ab'.repeat(32)}`

describe('is hidden', () => {
  test.each<[what: string, text: string, secret: string]>([
    ['a password in a URL', `mqtt_url = "mqtts://cam:${S}@broker.example:8883"`, S],
    ['a user alone in a URL', `see https://${S}@registry.example/x`, S],
    ['an Authorization header', `Authorization: Basic ${S}`, S],
    ['one in JSON', `{"authorization":"Digest username=${S}"}`, S],
    ['a bearer token in a sentence', `it was sent with Bearer ${S}, and refused`, S],
    ['a password in TOML', `password = "${S}"`, S],
    ['one in single quotes', `mqtt_password = '${S}'`, S],
    ['one without quotes', `LIMPET_TOKEN=${S} limpet enrol`, S],
    ['one in JSON', `{"secret":"${S}","device":"cam-01"}`, S],
    ['one in JSON within JSON', JSON.stringify({ text: JSON.stringify({ api_key: S }) }), S],
    ['one with a space in it', 'passphrase = "correct horse battery"', 'horse'],
    ['one in a query', `GET /v1/x?access_key=${S}&page=2`, S],
    ['one in a longer name', `aws_secret_access_key: ${S}`, S],
    ['a cookie', `cookie: session=${S}`, S],
    ['a private key', PEM, S.replaceAll('-', '')],
    ['a private key in JSON', JSON.stringify({ pem: PEM }), S.replaceAll('-', '')],
    ['a private key that is cut off', PEM.slice(0, 60), 'MHcCAQEEIIgq'],
    ['what the registry gives out', `token ${TOKEN} is spent`, 'abababab'],
    ['a JSON Web Token', `got ${JWT} back`, 'eyJzdWIi'],
    ["a cloud's key", 'with AKIAIOSFODNN7EXAMPLE', 'IOSFODNN7'],
  ])('%s', (_, text, secret) => {
    expect(text).toContain(secret)
    expect(redact(text, [])).not.toContain(secret)
  })

  test('a secret that is known, however it is spelled', () => {
    const secret = 'a"b/c d\\e'
    const texts = [
      secret,
      JSON.stringify({ x: secret }),
      `?q=${encodeURIComponent(secret)}`,
      Buffer.from(secret).toString('base64'),
    ]
    for (const text of texts) expect(redact(text, [secret])).not.toMatch(/a\\*"b|a%22b|YSJi/)
  })
})

describe('stays', () => {
  test.each([
    ['a digest', `sha256 ${'0123456789abcdef'.repeat(4)}`],
    ['where a secret lies', 'api_key_file = "/etc/limpet/key"'],
    ['how many tokens there are', 'tokens_max = 12'],
    ['a URL', 'https://registry.example:8100/tuf/timestamp.json'],
    ['a line of a log', '{"event":"ota.transition","from":"warming","to":"trial","took_ms":812}'],
    ['an address of mail in a text', 'ask ops@example.com'],
  ])('%s', (_, text) => {
    expect(redact(text, [])).toBe(text)
  })
})

test('a secret under a telling name is hidden in whatever stands around it', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9]{12,40}$/)
  const around = fc.string({ maxLength: 30 }).filter((text) => !/["'\\]/.test(text))
  fc.assert(
    fc.property(
      around,
      fc.constantFrom('password', 'client_secret', 'api-key', 'token', 'passphrase'),
      secret,
      around,
      (before, name, value, after) => {
        expect(redact(`${before} ${name} = "${value}" ${after}`, [])).not.toContain(value)
        expect(redact(`${before}\n${JSON.stringify({ [name]: value })}${after}`, [])).not.toContain(value)
      },
    ),
    { seed: SEED, numRuns: 500 },
  )
})

test('JSON stays JSON, without what has a telling name', () => {
  const given = {
    device: 'cam-01',
    secret: S,
    list: [`Bearer ${S}`, 7, null],
    deep: { api_key_file: '/etc/key', password: S },
  }
  const hidden = {
    device: 'cam-01',
    secret: '…',
    list: ['Bearer …', 7, null],
    deep: { api_key_file: '/etc/key', password: '…' },
  }
  expect(redactJson(given, [])).toEqual(hidden)
})

test('a text that was made to keep it busy does not', () => {
  const nasty = [
    'a'.repeat(300_000),
    'secret'.repeat(30_000),
    '-----BEGIN PRIVATE KEY-----'.repeat(3_000),
    'x://'.repeat(50_000),
    '"\\'.repeat(100_000),
  ]
  for (const text of nasty) expect(redact(text, []).length).toBeGreaterThan(0)
})
