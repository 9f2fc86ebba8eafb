/** A Consul agent as its API's documentation describes it, as far as services go: it keeps what it is told. */

interface Service {
  readonly ID: string
  readonly Service: string
  readonly Address: string
  readonly Port: number
  readonly Tags: readonly string[]
  readonly Meta: Readonly<Record<string, string>>
  readonly Check: unknown
}

export class FakeConsul {
  readonly services = new Map<string, Service>()
  /** Each request that changes something. */
  readonly changes: string[] = []
  /** Requests that it answers 500, from now on. */
  failures = 0
  refuses = new Set<string>()
  busiest = 0
  #busy = 0
  readonly #token: string
  readonly #server: Bun.Server<undefined>

  constructor({ token }: { token: string }) {
    this.#token = token
    this.#server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => this.#answer(request) })
  }

  get url(): string {
    return this.#server.url.origin
  }

  async stop(): Promise<void> {
    await this.#server.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    this.#busy += 1
    this.busiest = Math.max(this.busiest, this.#busy)
    try {
      // Others get a chance to come meanwhile.
      await new Promise((resolve) => setImmediate(resolve))
      return await this.#route(request)
    } finally {
      this.#busy -= 1
    }
  }

  async #route(request: Request): Promise<Response> {
    if (request.headers.get('x-consul-token') !== this.#token)
      return new Response('rpc error: Permission denied', { status: 403 })
    if (this.failures > 0) {
      this.failures -= 1
      return new Response('No cluster leader', { status: 500 })
    }
    const { pathname, searchParams } = new URL(request.url)
    const method = `${request.method} ${pathname}`
    if (method === 'GET /v1/agent/services')
      return Response.json(this.#list(searchParams.get('filter') ?? ''))
    if (method === 'PUT /v1/agent/service/register') return this.#register(await request.json(), searchParams)
    const id = /^PUT \/v1\/agent\/service\/deregister\/(.+)$/.exec(method)?.[1]
    if (id === undefined) return new Response('Invalid URL path', { status: 404 })
    this.changes.push(`- ${id}`)
    return this.services.delete(decodeURIComponent(id))
      ? new Response()
      : new Response(`Unknown service ID "${id}"`, { status: 404 })
  }

  #list(filter: string): Record<string, Service> {
    const name = /^Service == "([a-z0-9-]+)"$/.exec(filter)?.[1]
    return Object.fromEntries([...this.services].filter(([, { Service: service }]) => service === name))
  }

  #register(body: unknown, query: URLSearchParams): Response {
    const { Name, ...rest } = body as Omit<Service, 'Service'> & { Name: string }
    if (this.refuses.has(rest.ID)) return new Response('Invalid service address', { status: 400 })
    if (query.get('replace-existing-checks') !== 'true') return new Response('', { status: 400 })
    this.changes.push(`+ ${rest.ID}`)
    this.services.set(rest.ID, { ...rest, Service: Name })
    return new Response()
  }
}
