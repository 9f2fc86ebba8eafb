import { ElfRefusal, ElfView, type ReadAt, type Segment } from './elf-view.ts'

/**
 * What a shared library says of itself and of what it needs, as the dynamic linker reads it (System V gABI, chapters 4 and 5;
 * symbol versions as in the Linux Standard Base, 10.7). Of the file only these tables are read. Every count and address in
 * it may be a lie: each is bounded, and what does not fit is refused in words.
 */
export interface ElfFacts {
  readonly machine: Machine
  readonly soname: string | undefined
  readonly needed: readonly string[]
  readonly runpath: readonly string[]
  readonly rpath: readonly string[]
  /** Versions of symbols that it wants of each library; what it can do without is left out. */
  readonly versionsNeeded: readonly { readonly file: string; readonly versions: readonly string[] }[]
  /** Versions of symbols that it gives. */
  readonly versionsDefined: readonly string[]
}

export type Machine = 'x64' | 'arm64'

/** e_machine: EM_X86_64 and EM_AARCH64. */
const MACHINES: ReadonlyMap<number, Machine> = new Map([
  [62, 'x64'],
  [183, 'arm64'],
])
const OTHER_MACHINES: ReadonlyMap<number, string> = new Map([
  [3, '32-bit x86'],
  [8, 'MIPS'],
  [20, 'PowerPC'],
  [21, 'PowerPC64'],
  [22, 's390'],
  [40, '32-bit Arm'],
  [243, 'RISC-V'],
])

const TAG = {
  end: 0,
  needed: 1,
  strings: 5,
  soname: 14,
  rpath: 15,
  runpath: 29,
  versionsDefined: 0x6fff_fffc,
  versionsNeeded: 0x6fff_fffe,
} as const

const HEADER_BYTES = 64
const SEGMENT_BYTES = 56
const SEGMENTS_MAX = 256
const SEGMENT_DYNAMIC = 2
const TAG_BYTES = 16
const TAGS_MAX = 4096
const VERSIONS_MAX = 4096
/** Not wanted by anybody when it is not there (VER_FLG_WEAK), and the name of the file itself (VER_FLG_BASE). */
const [FLAG_BASE, FLAG_WEAK] = [1, 2] as const

export function readElf(read: ReadAt): ElfFacts {
  const machine = readMachine(read)
  const view = new ElfView(read, readSegments(read))
  const tags = readTags(view)
  const strings = tags.find(({ tag }) => tag === TAG.strings)?.value
  const text = (offset: number) => (strings === undefined ? '' : view.string(strings + offset))
  const all = (wanted: number) => tags.filter(({ tag }) => tag === wanted).map(({ value }) => value)
  const paths = (wanted: number) => all(wanted).flatMap((offset) => text(offset).split(':').filter(Boolean))
  const soname = all(TAG.soname)[0]
  return {
    machine,
    soname: soname === undefined ? undefined : text(soname),
    needed: all(TAG.needed).map(text),
    runpath: paths(TAG.runpath),
    rpath: paths(TAG.rpath),
    versionsNeeded: all(TAG.versionsNeeded).flatMap((at) => readNeeds(view, { at, text })),
    versionsDefined: all(TAG.versionsDefined).flatMap((at) => readDefinitions(view, { at, text })),
  }
}

function readMachine(read: ReadAt): Machine {
  const header = read(0, HEADER_BYTES)
  const isElf =
    header.length >= 4 && new DataView(header.buffer, header.byteOffset).getUint32(0) === 0x7f45_4c46
  if (!isElf)
    throw new ElfRefusal(
      header.length === 0 ? 'is empty' : 'is no library (it does not begin as an ELF file)',
    )
  if (header.length < HEADER_BYTES) throw new ElfRefusal('is cut off in its first 64 bytes')
  const little = new DataView(header.buffer, header.byteOffset, header.byteLength)
  const code = little.getUint16(18, true)
  const machine = MACHINES.get(code)
  const isWide = header[4] === 2 && header[5] === 1
  if (machine !== undefined && isWide) return machine
  throw new ElfRefusal(`is for ${OTHER_MACHINES.get(code) ?? `another machine (ELF ${code})`}`)
}

function readSegments(read: ReadAt): Segment[] {
  const header = new ElfView(read, [])
  const at = header.word(32)
  const size = header.half(54)
  const count = header.half(56)
  if (size !== SEGMENT_BYTES || count > SEGMENTS_MAX)
    throw new ElfRefusal(`is damaged: it claims ${count} program headers of ${size} bytes`)
  return Array.from({ length: count }, (_, index) => {
    const start = at + index * SEGMENT_BYTES
    return {
      type: header.int(start),
      offset: header.word(start + 8),
      address: header.word(start + 16),
      bytes: header.word(start + 32),
    }
  })
}

interface Tag {
  readonly tag: number
  readonly value: number
}

function readTags(view: ElfView): Tag[] {
  const dynamic = view.segments.find(({ type }) => type === SEGMENT_DYNAMIC)
  if (dynamic === undefined)
    throw new ElfRefusal('is no shared library: it says nothing to the dynamic linker')
  const tags: Tag[] = []
  const count = Math.min(Math.floor(dynamic.bytes / TAG_BYTES), TAGS_MAX)
  for (let index = 0; index < count; index += 1) {
    const at = dynamic.offset + index * TAG_BYTES
    const tag = view.word(at)
    if (tag === TAG.end) break
    tags.push({ tag, value: view.word(at + 8) })
  }
  return tags
}

type Text = (offset: number) => string

/** Elfxx_Verneed: a list of libraries, each with a list of versions; both are linked by what the next one is away. */
function readNeeds(
  view: ElfView,
  { at, text }: { at: number; text: Text },
): ElfFacts['versionsNeeded'][number][] {
  return walk(view.offsetOf(at), { next: (entry) => view.int(entry + 12) }).map((entry) => {
    const wanted = walk(entry + view.int(entry + 8), { next: (each) => view.int(each + 12) })
    const strong = wanted.filter((each) => (view.half(each + 4) & FLAG_WEAK) === 0)
    return {
      file: text(view.int(entry + 4)),
      versions: strong.map((each) => text(view.int(each + 8))),
    }
  })
}

/** Elfxx_Verdef: a list of versions; the first name of each is its own, the others are what it builds on. */
function readDefinitions(view: ElfView, { at, text }: { at: number; text: Text }): string[] {
  return walk(view.offsetOf(at), { next: (entry) => view.int(entry + 16) })
    .filter((entry) => (view.half(entry + 2) & FLAG_BASE) === 0)
    .map((entry) => text(view.int(entry + view.int(entry + 12))))
}

/** Where the entries of a list are; it goes forward only, and ends somewhere. */
function walk(start: number, { next }: { next: (entry: number) => number }): number[] {
  const entries: number[] = []
  for (let entry = start; entries.length < VERSIONS_MAX; ) {
    entries.push(entry)
    const step = next(entry)
    if (step === 0) break
    entry += step
  }
  return entries
}
