/** A version serves without the provider that compiles it, until that has; then a lane with the engine takes its place. */
import { describe, expect, test } from 'bun:test'
import { Lanes } from '../../src/inference/lanes.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { ModelSource, Session, SessionOptions } from '../../src/runtime/backend.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan } from '../kit/fake-session.ts'

setLogLevel('silent')

/** Of which an engine has to be built before a load that keeps what is made may be quick. */
class BuildingBackend extends FakeBackend {
  readonly loads: string[] = []
  isBuilt = false
  readonly #built = Promise.withResolvers<void>()
  say: (what: string) => void = () => undefined

  override async load(source: ModelSource, options: SessionOptions): Promise<Session> {
    this.loads.push(options.engineCache)
    this.sessions.set(options.id, new FakeSession())
    return await super.load(source, options)
  }

  async wouldBuild(): Promise<boolean> {
    return !this.isBuilt
  }

  async build(_: ModelSource, __: SessionOptions, onStep: (what: string) => void): Promise<void> {
    this.say = onStep
    await this.#built.promise
  }

  finish(): void {
    this.isBuilt = true
    this.#built.resolve()
  }

  fail(): void {
    this.#built.reject(new Error('out of memory'))
  }
}

function start(servesMeanwhile: boolean) {
  const backend = new BuildingBackend()
  const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1, servesMeanwhile })
  const reason = () => lanes.status('m', '1').reason
  return { backend, lanes, reason }
}

/** Everything that waits for nothing but its turn has had it. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await Promise.resolve()
}

describe('a version whose engine has to be built', () => {
  test('is ready at once, says how far it is, and changes over when it is there', async () => {
    const { backend, lanes, reason } = start(true)
    expect(await lanes.load(lanePlan('m', '1'))).toMatchObject({ state: 'READY', reason: '' })
    const before = lanes.find('m', '1')
    backend.say('building engine 1/1')
    expect(reason()).toBe('serves without its engine: building engine 1/1')
    backend.finish()
    await settle()
    expect(backend.loads).toEqual(['found', 'keep'])
    expect(lanes.find('m', '1')).not.toBe(before)
    expect(reason()).toBe('')
  })

  test('that was unloaded meanwhile stays so', async () => {
    const { backend, lanes, reason } = start(true)
    await lanes.load(lanePlan('m', '1'))
    await lanes.unload('m', '1')
    backend.say('building engine 1/1')
    backend.finish()
    await settle()
    expect(backend.loads).toEqual(['found'])
    expect(reason()).toBe('unloaded')
  })

  test('that was loaded anew meanwhile is not replaced by what was asked for before', async () => {
    const { backend, lanes } = start(true)
    await lanes.load(lanePlan('m', '1'))
    backend.isBuilt = true
    await lanes.load(lanePlan('m', '1'))
    const anew = lanes.find('m', '1')
    backend.finish()
    await settle()
    expect(backend.loads).toEqual(['found', 'keep'])
    expect(lanes.find('m', '1')).toBe(anew)
  })

  test('that serves already is not replaced by one without its engine', async () => {
    const { backend, lanes } = start(true)
    backend.isBuilt = true
    await lanes.load(lanePlan('m', '1'))
    backend.isBuilt = false
    await lanes.load(lanePlan('m', '1'))
    expect(backend.loads).toEqual(['keep', 'keep'])
  })

  test('that cannot be built goes on as it serves, and says why', async () => {
    const { backend, lanes, reason } = start(true)
    await lanes.load(lanePlan('m', '1'))
    backend.fail()
    await settle()
    expect(lanes.isReady('m', '1')).toBe(true)
    expect(reason()).toBe('serves without its engine: building it failed: out of memory')
  })

  test('is waited for where that is not wished', async () => {
    const { backend, lanes } = start(false)
    await lanes.load(lanePlan('m', '1'))
    expect(backend.loads).toEqual(['keep'])
  })
})
