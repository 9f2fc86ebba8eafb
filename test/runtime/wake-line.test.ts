import { expect, test } from 'bun:test'
import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { OrtBackend } from '../../src/runtime/ort-backend.ts'
import { bindWake, WakeLine } from '../../src/runtime/wake-line.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'
import { until } from '../kit/until.ts'

async function openSockets(): Promise<number> {
  const files = await readdir('/proc/self/fd')
  const targets = await Promise.all(files.map((file) => readlink(`/proc/self/fd/${file}`).catch(() => '')))
  return targets.filter((target) => target.startsWith('socket:')).length
}

async function openAndStop(): Promise<void> {
  const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 2 })
  const session = await backend.load({ bytes: zoo.simple() }, SESSION_OPTIONS)
  await session.close()
  await backend.stop()
}

test('run threads that have been stopped leave no socket open', async () => {
  const before = await openSockets()
  for (let times = 0; times < 3; times += 1) await openAndStop()
  await until('the sockets of three pools are closed', async () =>
    (await openSockets()) <= before ? true : undefined,
  )
}, 30_000)

test('a process ends while nobody runs anything, and not before a run has ended', async () => {
  const lasting = join(import.meta.dir, '../../src/runtime/wake-line.ts')
  const program = (isHeld: boolean) => `
    const { WakeLine, bindWake } = await import(${JSON.stringify(lasting)})
    const line = new WakeLine({ onWake: () => { console.log('woken'); line.hold(false) }, onBroken: console.log })
    line.hold(${isHeld})
    const wake = bindWake(line.fd)
    if (${isHeld}) setTimeout(wake, 50).unref()
  `
  const run = async (isHeld: boolean) => {
    const child = Bun.spawn([process.execPath, '-e', program(isHeld)], { stdout: 'pipe', stderr: 'inherit' })
    return [await new Response(child.stdout).text(), await child.exited]
  }
  expect(await run(false)).toEqual(['', 0])
  expect(await run(true)).toEqual(['woken\n', 0])
}, 30_000)

test('wakings that come together are heard, and none is lost after the last was heard', async () => {
  let heard = 0
  const line = new WakeLine({
    onWake: () => {
      heard += 1
    },
    onBroken: (error) => {
      throw error
    },
  })
  line.hold(true)
  const wake = bindWake(line.fd)
  for (let round = 1; round <= 20; round += 1) {
    const before = heard
    for (let times = 0; times < 5; times += 1) wake()
    await until(`round ${round} is heard`, () => (heard > before ? true : undefined))
  }
  line.stop()
  line.close()
})
