/** Where what is said. One root for each direction, so that one rule for each keeps a device to its own topics. */
export const DEFAULT_PREFIX = 'limpet/v1'

/** What a device says, and the registry hears. */
export const UP_KINDS = ['req', 'state', 'ev', 'hb', 'tm'] as const
export type UpKind = (typeof UP_KINDS)[number]

/** What the registry says to one device. */
export type DownKind = 'desired' | 'cmd' | 'rsp'

export class Topics {
  readonly prefix: string

  constructor(prefix: string = DEFAULT_PREFIX) {
    this.prefix = prefix
  }

  /** To all: whether the registry is there. */
  get registryState(): string {
    return `${this.prefix}/r/state`
  }

  /** To all: TUF's timestamp. A new version of it says "refresh". */
  get registryMeta(): string {
    return `${this.prefix}/r/meta`
  }

  down(device: string, kind: DownKind): string {
    return `${this.prefix}/d/${device}/${kind}`
  }

  up(device: string, kind: UpKind): string {
    return `${this.prefix}/u/${device}/${kind}`
  }

  /** One kind, from every device. */
  upFromAll(kind: UpKind): string {
    return `${this.prefix}/u/+/${kind}`
  }

  /** Whose words these are; undefined: not a topic of devices. */
  parseUp(topic: string): { readonly device: string; readonly kind: UpKind } | undefined {
    const start = `${this.prefix}/u/`
    if (!topic.startsWith(start)) return undefined
    const [device, kind, ...more] = topic.slice(start.length).split('/')
    const known = UP_KINDS.find((one) => one === kind)
    if (device === undefined || device === '' || known === undefined || more.length > 0) return undefined
    return { device, kind: known }
  }
}
