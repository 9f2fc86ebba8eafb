import type { Clock } from '../kit/clock.ts'
import { chooseUpdates, compareWanted } from './decide.ts'
import type { Assignment, Journal } from './journal.ts'
import { isWorking } from './machine.ts'
import type { ServePort, StorePort } from './ports.ts'
import { Runner } from './runner.ts'
import type { Steps } from './step.ts'
import { forgetNotes } from './trial.ts'
import type { Turns } from './turns.ts'
import type { Installed, Update } from './update.ts'
import { withdraw } from './withdraw.ts'

/** What a person wants to know of an update on its way, and the journal does not. */
export interface Progress {
  readonly percent: number | undefined
  readonly waitsFor: string
}

interface Underway {
  readonly id: number
  readonly newer: AbortController
  progress: Progress
}

/** Every so often what was given up is looked at again. */
const LOOK_MS = 60_000

/** All updates of the device: one for each model at most, each with a loop of its own. */
export class Updates {
  readonly #journal: Journal
  readonly #store: StorePort
  readonly #serve: ServePort
  readonly #clock: Clock
  readonly #runner: Runner
  readonly #stop: AbortSignal
  readonly #underway = new Map<string, Underway>()
  readonly #loops = new Set<Promise<void>>()
  #woken = new AbortController()
  #broken: (error: unknown) => void = () => undefined

  constructor(parts: {
    journal: Journal
    store: StorePort
    serve: ServePort
    clock: Clock
    turns: Turns
    steps: Steps
    stop: AbortSignal
  }) {
    this.#journal = parts.journal
    this.#store = parts.store
    this.#serve = parts.serve
    this.#clock = parts.clock
    this.#stop = parts.stop
    this.#runner = new Runner({
      ...parts,
      progress: (update, percent, waitsFor) => {
        const underway = this.#underway.get(update.model)
        if (underway !== undefined) underway.progress = { percent, waitsFor }
      },
    })
  }

  /** What the device should run from now on; verified. Updates on their way to something else end where they can. */
  assign(assignment: Assignment): void {
    this.#journal.assign(assignment)
    const wanted = new Map(assignment.models.map((each) => [each.model, each]))
    for (const [model, { id, newer }] of this.#underway) {
      const update = this.#journal.find(id)
      if (!isWorking(update.state)) continue
      if (compareWanted(update, wanted.get(model)) === 'same') this.#journal.adopt(id, assignment.rev)
      else newer.abort()
    }
    this.wake()
  }

  progress(model: string): Progress | undefined {
    return this.#underway.get(model)?.progress
  }

  /** Looks again at once. */
  wake(): void {
    this.#woken.abort()
  }

  /** Goes on with what an earlier process has left, then does what is assigned, until the signal. */
  async run(): Promise<void> {
    const broken = new Promise<never>((_, reject) => {
      this.#broken = reject
    })
    // A process that was cut off right after the end of an update has not.
    for (const update of this.#journal.latest())
      if (!isWorking(update.state)) forgetNotes(this.#journal, update)
    for (const update of this.#journal.working()) this.#start(this.#runner.resume(update))
    while (!this.#stop.aborted) {
      // Made before the look: what is said meanwhile is not missed.
      this.#woken = new AbortController()
      await Promise.race([this.#begin(), broken])
      const signal = AbortSignal.any([this.#woken.signal, this.#stop])
      await Promise.race([this.#clock.sleep(LOOK_MS, signal), broken])
    }
    await Promise.race([Promise.all(this.#loops), broken])
  }

  async #begin(): Promise<void> {
    const assigned = this.#journal.assignment?.models ?? []
    const running = new Map<string, Installed>()
    for (const { model } of assigned) {
      const installed = await this.#store.current(model)
      if (installed !== undefined) running.set(model, installed)
    }
    const updates = this.#journal.latest()
    for (const wanted of chooseUpdates({ assigned, updates, running, nowMs: this.#clock.now() })) {
      if (!this.#stop.aborted && !this.#underway.has(wanted.model)) this.#start(this.#journal.begin(wanted))
    }
    await this.#withdraw()
  }

  async #withdraw(): Promise<void> {
    const parts = { journal: this.#journal, store: this.#store, serve: this.#serve }
    const isUnderway = (model: string) => this.#underway.has(model)
    try {
      await withdraw(parts, { isUnderway, signal: this.#stop })
    } catch (error) {
      if (!this.#stop.aborted) throw error
    }
  }

  #start(update: Update): void {
    const underway = {
      id: update.id,
      newer: new AbortController(),
      progress: { percent: undefined, waitsFor: '' },
    }
    this.#underway.set(update.model, underway)
    const wanted = this.#journal.assignment?.models.find(({ model }) => model === update.model)
    if (compareWanted(update, wanted) === 'another') underway.newer.abort()
    const loop = this.#follow(update, underway.newer.signal)
      .catch((error: unknown) => this.#broken(error))
      .finally(() => this.#loops.delete(loop))
    this.#loops.add(loop)
  }

  async #follow(update: Update, newer: AbortSignal): Promise<void> {
    const ended = await this.#runner.run(update, { newer, stop: this.#stop })
    if (isWorking(ended.state)) return
    await this.#store.discard(ended.manifest)
    forgetNotes(this.#journal, ended)
    this.#underway.delete(ended.model)
    this.wake()
  }
}
