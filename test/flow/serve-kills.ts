/**
 * Stands between the agent and the data plane, and kills the data plane at a chosen moment of a switch. It is started
 * again as the supervisor would, on a socket made anew, which is how the agent knows one process from the next.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from 'bun'
import { freePort } from '../kit/binary.ts'
import type { Bench } from './bench.ts'

type Moment =
  | { readonly at: 'load'; readonly number: 1 | 2; readonly when: 'before' | 'during' | 'after' }
  | { readonly at: 'look'; readonly number: number }

export interface ServeKill {
  readonly name: string
  readonly moment: Moment
  readonly version: string
  readonly policy?: object
  readonly ends: 'committed' | 'reverted'
  /** Why, where it is not the usual end. */
  readonly code: string
}

const FIT = { version: '4', ends: 'committed', code: '' } as const
const BRITTLE = { version: '3', ends: 'reverted', code: 'not_finite' } as const

/** The load that goes back is the second one. A look comes about once a second. */
export const SERVE_KILLS: readonly ServeKill[] = [
  { ...FIT, name: 'before the load', moment: { at: 'load', number: 1, when: 'before' } },
  { ...FIT, name: 'during the load', moment: { at: 'load', number: 1, when: 'during' } },
  {
    ...FIT,
    name: 'after the load, before the answer to it',
    moment: { at: 'load', number: 1, when: 'after' },
  },
  {
    ...FIT,
    name: 'while it is observed: the version is the suspect',
    moment: { at: 'look', number: 2 },
    policy: { observe_seconds: 600 },
    ends: 'reverted',
    code: 'crashed',
  },
  {
    ...FIT,
    name: 'when it has been observed for long enough: it is not good while it is away',
    moment: { at: 'look', number: 2 },
    policy: { observe_seconds: 1 },
    ends: 'reverted',
    code: 'crashed',
  },
  { ...BRITTLE, name: 'before the load on the way back', moment: { at: 'load', number: 2, when: 'before' } },
  { ...BRITTLE, name: 'during the load on the way back', moment: { at: 'load', number: 2, when: 'during' } },
  { ...BRITTLE, name: 'after the load on the way back', moment: { at: 'load', number: 2, when: 'after' } },
]

const PATH = { load: '/load', look: '/metrics' } as const

export class KillingLine {
  kills = 0
  readonly #bench: Bench
  readonly #moment: Moment
  readonly #port: number
  #server: Server<undefined> | undefined
  #loads = 0
  #looks = 0

  private constructor(bench: Bench, moment: Moment, port: number) {
    this.#bench = bench
    this.#moment = moment
    this.#port = port
  }

  static async start(bench: Bench, moment: Moment): Promise<KillingLine> {
    const line = new KillingLine(bench, moment, await freePort())
    await line.#start()
    return line
  }

  async stop(): Promise<void> {
    await this.#server?.stop(true)
  }

  async #start(): Promise<void> {
    const { state } = this.#bench.device
    await this.#bench.startServe({ socket: this.#behind, port: this.#port })
    const socket = join(state, 'serve.sock')
    await rm(socket, { force: true })
    this.#server = Bun.serve({ unix: socket, fetch: (request) => this.#pass(request) })
  }

  get #behind(): string {
    return join(this.#bench.device.home, 'behind.sock')
  }

  async #pass(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    const { at, number } = this.#moment
    if (pathname.endsWith('/load')) this.#loads += 1
    else if (pathname.endsWith('/metrics') && this.#loads > 0) this.#looks += 1
    else return await this.#send(request)
    const isThen = (at === 'load' ? this.#loads : this.#looks) === number && pathname.endsWith(PATH[at])
    if (isThen && this.kills === 0) return await this.#killAt(request)
    return await this.#send(request)
  }

  async #killAt(request: Request): Promise<Response> {
    const when = this.#moment.at === 'load' ? this.#moment.when : 'before'
    if (when === 'before') return await this.#kill()
    const answer = this.#send(request)
    if (when === 'after') await answer
    else await Promise.race([answer.catch(() => undefined), this.#untilLoading()])
    return await this.#kill()
  }

  /** The data plane says of itself that it is at it. */
  async #untilLoading(): Promise<void> {
    const ask = () =>
      fetch('http://localhost/v2/repository/index', { method: 'POST', unix: this.#behind } as RequestInit)
    while (!(await (await ask()).text()).includes('"LOADING"')) {
      await Bun.sleep(5)
    }
  }

  async #kill(): Promise<Response> {
    this.kills += 1
    await this.#bench.killServe()
    void this.#server?.stop(true)
    void this.#start()
    return await new Promise(() => undefined)
  }

  async #send(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url)
    const answer = await fetch(`http://localhost${pathname}${search}`, {
      method: request.method,
      headers: request.headers,
      ...(request.method === 'GET' ? {} : { body: await request.arrayBuffer() }),
      unix: this.#behind,
      keepalive: false,
    } as RequestInit)
    return new Response(await answer.arrayBuffer(), { status: answer.status, headers: answer.headers })
  }
}
