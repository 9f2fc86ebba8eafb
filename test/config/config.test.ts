import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/config.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

let files = 0
async function load(toml: string) {
  files += 1
  const path = join(folder.path, `${files}.toml`)
  await Bun.write(path, toml)
  return await loadConfig(path)
}

const DEFAULTS = {
  log_level: 'info',
  http: { host: '127.0.0.1', port: 8000, body_bytes_max: 67_108_864, server_name: 'limpet' },
  runtime: {},
  profile: { facts_root: '/' },
  inference: { requests_max: 1024, queue_items_max: 256 },
  supervisor: { stop_seconds_max: 30, failures_max: 8 },
}

test('without a file everything has its default', async () => {
  expect(await loadConfig(undefined)).toMatchObject(DEFAULTS)
})

test('an empty file says the same as none, and so do empty tables', async () => {
  const none = await loadConfig(undefined)
  expect(await load('')).toEqual(none)
  expect(await load('[http]\n[runtime]\n[inference]\n[supervisor]')).toEqual(none)
})

test('what is named replaces its default and nothing else', async () => {
  const none = await loadConfig(undefined)
  expect(await load('log_level = "debug"\n[http]\nport = 0')).toEqual({
    ...none,
    log_level: 'debug',
    http: { ...none.http, port: 0 },
  })
})

test('it is frozen', async () => {
  expect(Object.isFrozen(await loadConfig(undefined))).toBe(true)
  expect(Object.isFrozen(await load(''))).toBe(true)
})

/** Key, and the least and the most it takes. */
const BOUNDS: readonly (readonly [table: string, key: string, min: number, max: number])[] = [
  ['http', 'port', 0, 65_535],
  ['http', 'body_bytes_max', 1024, 2 ** 31 - 1],
  ['runtime', 'threads', 0, 256],
  ['engine_cache', 'bytes_max', 0, 2 ** 50],
  ['inference', 'requests_max', 1, 65_536],
  ['inference', 'queue_items_max', 1, 65_536],
  ['supervisor', 'stop_seconds_max', 1, 600],
  ['supervisor', 'failures_max', 1, 1000],
]

describe.each(BOUNDS)('%s.%s', (table, key, min, max) => {
  test.each([min, max])('%d is taken', async (value) => {
    const config: object = await load(`[${table}]\n${key} = ${value}`)
    expect(config).toHaveProperty(`${table}.${key}`, value)
  })

  test.each([min - 1, max + 1, min + 0.5, '"1"', 'true', 'nan', '[1]'])('%p is refused', async (value) => {
    const loading = load(`[${table}]\n${key} = ${value}`)
    await expect(loading).rejects.toBeInstanceOf(EdgeError)
    await expect(loading).rejects.toThrow(`${table}.${key}`)
  })
})

test.each([1, 64])('a server name of %d characters is taken', async (length) => {
  const name = 'n'.repeat(length)
  expect((await load(`[http]\nserver_name = "${name}"`)).http.server_name).toBe(name)
})

test.each([0, 65])('a server name of %d characters is refused', async (length) => {
  await expect(load(`[http]\nserver_name = "${'n'.repeat(length)}"`)).rejects.toThrow('http.server_name')
})

test('all mistakes are named at once, with the file', async () => {
  const loading = load(
    'log_level = "loud"\nque_max = 1\n[http]\nport = 70000\nhost = ""\n[inference]\nrequests = 5\n[supervisor]\nfailures_max = 0',
  )
  await expect(loading).rejects.toMatchObject({ code: 'config_invalid' })
  const message = await loading.catch((error: Error) => error.message)
  for (const mistake of [
    `"${join(folder.path, `${files}.toml`)}"`,
    '→ at log_level',
    '"que_max"',
    '→ at http.port',
    '→ at http.host',
    '"requests"',
    '→ at supervisor.failures_max',
  ])
    expect(message).toContain(mistake)
})

test.each([
  ['port = 8000\nhost = "a', 'line 2 column'],
  ['[http]\nport = ', 'line 2 column 8'],
  ['[http]\nport = 1\nport = 2', 'line 3 column'],
  ['[http]\n\n  port 1', 'line 3 column'],
])('%p is refused with its place', async (toml, place) => {
  const loading = load(toml)
  await expect(loading).rejects.toMatchObject({ code: 'config_invalid' })
  await expect(loading).rejects.toThrow(place)
})

test.each(['not-there.toml', '.'])('%p cannot be read: it is named', async (name) => {
  const path = join(folder.path, name)
  const loading = loadConfig(path)
  await expect(loading).rejects.toMatchObject({ code: 'config_invalid' })
  await expect(loading).rejects.toThrow(`Cannot read the config "${path}": `)
})
