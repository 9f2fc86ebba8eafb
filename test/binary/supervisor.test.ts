/** `limpet up`: what it does when the process that serves ends, and when it ends itself. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { copyFile, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BINARY,
  cleanEnvironment,
  createFolder,
  freePort,
  MODELS,
  type Running,
  runToEnd,
  startServing,
} from '../kit/binary.ts'
import { until } from '../kit/until.ts'

const folder = await createFolder()
const running: Running[] = []
afterAll(async () => {
  // Only where a test failed halfway is there still one to end.
  for (const server of running) if (isAlive(server.pid)) await server.stop('SIGKILL')
  await folder.remove()
})

/** False also for one that has ended and only waits for its parent to notice. */
function isAlive(pid: number): boolean {
  const state = /\) (\S)/.exec(readStat(pid))?.[1]
  return state !== undefined && state !== 'Z'
}

function readStat(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return ''
  }
}

async function childOf(pid: number): Promise<number | undefined> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  )
  const children = lists.join(' ').split(' ').filter(Boolean).map(Number).filter(isAlive)
  expect(children.length).toBeLessThanOrEqual(1)
  return children[0]
}

async function startUp(port: number, binary = BINARY): Promise<{ up: Running; serve: number }> {
  const command = [binary, 'up', '--models', MODELS, '--port', String(port)]
  const up = await startServing(folder.path, { command })
  running.push(up)
  return { up, serve: await until('a serving child', () => childOf(up.pid)) }
}

async function askSimple(url: string): Promise<number[] | undefined> {
  const input = (name: string) => ({ name, datatype: 'INT32', shape: [1, 16], data: Array(16).fill(21) })
  const body = JSON.stringify({ inputs: [input('INPUT0'), input('INPUT1')] })
  const response = await fetch(`${url}/v2/models/simple/infer`, { method: 'POST', body }).catch(
    () => undefined,
  )
  if (response?.status !== 200) return undefined
  return ((await response.json()) as { outputs: { data: number[] }[] }).outputs[0]?.data
}

describe('the process that serves', () => {
  test('killed: another serves in its place, at the same address', async () => {
    const { up, serve } = await startUp(await freePort())
    expect(await askSimple(up.url)).toEqual(Array(16).fill(42))
    process.kill(serve, 'SIGKILL')
    await until('the end of the first', () => (isAlive(serve) ? undefined : true))
    expect(await until('an answer from the second', () => askSimple(up.url))).toEqual(Array(16).fill(42))
    expect(await childOf(up.pid)).not.toBe(serve)
    expect(await up.stop()).toBe(0)
    const restarts = (await Bun.file(join(folder.path, 'stderr.log')).text())
      .split('\n')
      .filter((line) => line.includes('"app.restarting"'))
      .map((line) => JSON.parse(line))
    expect(restarts).toEqual([
      expect.objectContaining({ level: 'warn', signal: 'SIGKILL', failures_in_a_row: 1 }),
    ])
  })

  test('killed while another file lies in the place of the binary: the one that runs starts it again', async () => {
    const binary = join(folder.path, 'limpet')
    await copyFile(BINARY, binary)
    const { up, serve } = await startUp(await freePort(), binary)
    await writeFile(`${binary}.next`, '#!/bin/false\n', { mode: 0o755 })
    await rename(`${binary}.next`, binary)
    process.kill(serve, 'SIGKILL')
    await until('the end of the first', () => (isAlive(serve) ? undefined : true))
    expect(await until('an answer from the second', () => askSimple(up.url))).toEqual(Array(16).fill(42))
    expect(await up.stop()).toBe(0)
    expect(await Bun.file(join(folder.path, 'stderr.log')).text()).toContain('"app.binary_replaced"')
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with its supervisor on %s, both cleanly',
    async (signal) => {
      const { up, serve } = await startUp(0)
      expect(await up.stop(signal)).toBe(0)
      expect(isAlive(serve)).toBe(false)
      expect(await Bun.file(join(folder.path, 'stderr.log')).text()).toContain('"app.stopped"')
    },
  )

  test('ends when its supervisor is killed', async () => {
    const { up, serve } = await startUp(0)
    await up.stop('SIGKILL')
    await until('the end of serve', () => (isAlive(serve) ? undefined : true))
    expect(await askSimple(up.url)).toBeUndefined()
  })

  test('stops cleanly while a request is on its way', async () => {
    const { up } = await startUp(0)
    const answers = Array.from({ length: 20 }, () => askSimple(up.url))
    await Promise.race(answers)
    const exitCode = up.stop()
    // Answered in full or not at all.
    for (const answer of await Promise.all(answers))
      expect([undefined, Array(16).fill(42)]).toContainEqual(answer)
    expect(await exitCode).toBe(0)
  })
})

describe('given up', () => {
  const run = async (command: 'up' | 'serve', config: string, ...args: string[]) => {
    const path = join(folder.path, `${Bun.hash(config)}.toml`)
    await writeFile(path, config)
    const line = [BINARY, command, '--models', MODELS, '--config', path, '--port', '0', ...args]
    const began = performance.now()
    const ended = await runToEnd(folder.path, { command: line })
    return { ...ended, ms: performance.now() - began }
  }

  test('at once, with 78, when the library is not one', async () => {
    const library = join(folder.path, 'not-a-library.so')
    await writeFile(library, 'not a library')
    const { stderr, exitCode } = await run('up', `[runtime]\nlibrary = "${library}"`)
    expect(exitCode).toBe(78)
    expect(stderr).toContain(`"${library}"`)
    expect(stderr).toContain('limpet: Cannot serve: see the message above')
    expect(stderr).not.toContain('app.restarting')
  })

  test('at once, with 78, when the config is wrong', async () => {
    const { stderr, exitCode } = await run('up', '[http]\nprot = 8000')
    expect(exitCode).toBe(78)
    expect(stderr).toContain('prot')
  })

  describe('a crash loop', () => {
    const library = join(folder.path, 'aborts.so')
    beforeAll(async () => {
      const source = join(folder.path, 'aborts.c')
      await writeFile(source, '#include <stdlib.h>\nvoid *OrtGetApiBase(void) { abort(); }\n')
      const { stderr, exitCode } = await runToEnd(folder.path, {
        command: ['gcc', '-shared', '-fPIC', '-o', library, source],
      })
      expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
    })

    test.each([1, 2, 3])('of %p ends up loudly, after exactly so many tries', async (failuresMax) => {
      const { stderr, exitCode } = await run(
        'up',
        `[runtime]\nlibrary = "${library}"\n[supervisor]\nfailures_max = ${failuresMax}`,
      )
      expect(exitCode).toBe(1)
      const events = stderr
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line).event)
        // What the process that serves says of the board before it ends.
        .filter((event) => event !== 'app.profile')
      expect(events).toEqual([...Array(failuresMax - 1).fill('app.restarting'), 'app.crash_loop'])
      expect(stderr).toContain(
        `limpet: Cannot keep "limpet serve" running: it ended ${failuresMax} times in a row`,
      )
      expect(stderr).toContain('SIGABRT')
    })

    test('does not keep it from stopping: asked while it waits to try again, it ends cleanly', async () => {
      const config = join(folder.path, 'patient.toml')
      await writeFile(config, `[runtime]\nlibrary = "${library}"\n[supervisor]\nfailures_max = 1000`)
      const log = join(folder.path, 'patient.log')
      const child = Bun.spawn([BINARY, 'up', '--models', MODELS, '--config', config, '--port', '0'], {
        cwd: folder.path,
        env: cleanEnvironment(folder.path),
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: Bun.file(log),
      })
      // After the fourth failure it waits two seconds, time enough to be asked in.
      await until('the fourth failure', async () => {
        const text = await readFile(log, 'utf8').catch(() => '')
        return text.includes('"after_ms":2000') || undefined
      })
      child.kill('SIGTERM')
      expect(await child.exited).toBe(0)
      // It did not wait to the end and try once more.
      expect(await readFile(log, 'utf8')).not.toContain('"after_ms":4000')
    })
  })

  test('a second server on a port that is taken: 78, in words', async () => {
    const { up } = await startUp(0)
    const port = new URL(up.url).port
    for (const command of ['serve', 'up'] as const) {
      const { stderr, exitCode } = await run(command, '', '--port', port)
      expect(exitCode).toBe(78)
      expect(stderr).toContain(`limpet: Cannot listen on 127.0.0.1:${port}: `)
      expect(stderr).toContain('--port or http.port')
    }
    expect(await askSimple(up.url)).toEqual(Array(16).fill(42))
    expect(await up.stop()).toBe(0)
  })

  test.each(['/dev/full', '&-'])('serves though its log finds no place: 2>%s', async (where) => {
    const script = `exec "${BINARY}" up --models "${MODELS}" --port 0 2>${where}`
    const up = await startServing(folder.path, { command: ['sh', '-c', script] })
    running.push(up)
    expect(await askSimple(up.url)).toEqual(Array(16).fill(42))
    expect(await up.stop()).toBe(0)
  })
})
