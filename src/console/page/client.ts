import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { LiveLine } from './live-line.ts'

/** Who is logged in, as `/console/session` tells it. */
export interface Session {
  readonly name: string
  readonly role: 'admin' | 'publisher' | 'operator' | 'viewer'
  readonly key_id: string
  readonly expires: string
  readonly csrf: string
}

/** The registry has refused, in its own words. */
class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The registry's API, as the one who is logged in. */
export class Client {
  readonly live = new LiveLine()
  session: Session | undefined
  /** Told when the session has ended, whoever ended it. */
  onOut: () => void = () => undefined

  constructor() {
    this.live.onRefused = () => {
      const stay = () => {
        if (this.session !== undefined) this.live.open()
      }
      // Where the session is over, asking says so.
      this.get('/console/session').then(stay, stay)
    }
  }

  async get<T>(path: string): Promise<T> {
    return await this.#ask<T>('GET', path, undefined)
  }

  async send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
    return await this.#ask<T>(method, path, body)
  }

  /** Goes on with the session that the browser has, where it has one. */
  async resume(): Promise<Session | undefined> {
    try {
      this.#begin(await this.get<Session>('/console/session'))
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 401) throw error
    }
    return this.session
  }

  async login(key: string): Promise<Session> {
    return this.#begin(await this.send<Session>('POST', '/console/login', { key }))
  }

  async logout(): Promise<void> {
    await this.send('POST', '/console/logout')
    this.#end()
  }

  /** Whether the role of who is logged in is enough. */
  may(role: Session['role']): boolean {
    const own = this.session?.role
    return own === 'admin' || own === role || role === 'viewer'
  }

  #begin(session: Session): Session {
    this.session = session
    this.live.open()
    return session
  }

  #end(): void {
    if (this.session === undefined) return
    this.session = undefined
    this.live.close()
    this.onOut()
  }

  async #ask<T>(method: string, path: string, body: unknown): Promise<T> {
    const response = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: {
        ...(method !== 'GET' && this.session !== undefined && { 'X-Limpet-CSRF': this.session.csrf }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      throw new Error('The registry cannot be reached', { cause })
    })
    if (response.status === 204) return undefined as T
    if (response.ok) return (await response.json()) as T
    if (response.status === 401) this.#end()
    throw new Refusal(response.status, await messageIn(response))
  }
}

async function messageIn(response: Response): Promise<string> {
  const body: unknown = await response.json().catch(() => undefined)
  const message = (body as { message?: unknown } | undefined)?.message
  return typeof message === 'string' ? message : `The registry answers ${response.status}`
}

export const ClientContext = createContext(new Client())

export function useClient(): Client {
  return useContext(ClientContext)
}

/** Says something to those who listen rather than look. */
export const AnnounceContext = createContext<(text: string) => void>(() => undefined)

export function useAnnounce(): (text: string) => void {
  return useContext(AnnounceContext)
}
