/** Shared libraries by hand: 64 bits, little endian, with the tables that the dynamic linker reads and nothing else. */

export interface ElfWish {
  readonly machine?: 'x64' | 'arm64'
  readonly soname?: string
  readonly needed?: readonly string[]
  readonly runpath?: string
  readonly rpath?: string
  readonly versionsNeeded?: readonly {
    readonly file: string
    readonly versions: readonly string[]
    readonly isWeak?: boolean
  }[]
  readonly versionsDefined?: readonly string[]
}

const [HEADER, SEGMENT] = [64, 56] as const
const CODES = { x64: 62, arm64: 183 } as const
/** Where it is to lie in memory: not where it lies in the file, so that nobody takes one for the other. */
const BASE = 0x40_0000

export function makeElf(wish: ElfWish): Uint8Array {
  const strings = new Strings()
  const tags: [tag: number, value: number][] = []
  for (const name of wish.needed ?? []) tags.push([1, strings.add(name)])
  if (wish.soname !== undefined) tags.push([14, strings.add(wish.soname)])
  if (wish.rpath !== undefined) tags.push([15, strings.add(wish.rpath)])
  if (wish.runpath !== undefined) tags.push([29, strings.add(wish.runpath)])
  const needs = makeNeeds(wish.versionsNeeded ?? [], strings)
  const definitions = makeDefinitions(wish.versionsDefined ?? [], strings)
  const dynamicBytes = 16 * (tags.length + 4)
  const dynamicAt = HEADER + 2 * SEGMENT
  const needsAt = dynamicAt + dynamicBytes
  const definitionsAt = needsAt + needs.length
  const stringsAt = definitionsAt + definitions.length
  const text = strings.bytes()
  tags.push([5, BASE + stringsAt])
  if (needs.length > 0) tags.push([0x6fff_fffe, BASE + needsAt])
  if (definitions.length > 0) tags.push([0x6fff_fffc, BASE + definitionsAt])
  tags.push([0, 0])
  const bytes = new Uint8Array(stringsAt + text.length)
  const view = new DataView(bytes.buffer)
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 3, true)
  view.setUint16(18, CODES[wish.machine ?? 'x64'], true)
  view.setBigUint64(32, BigInt(HEADER), true)
  view.setUint16(54, SEGMENT, true)
  view.setUint16(56, 2, true)
  putSegment(view, HEADER, { type: 1, offset: 0, address: BASE, bytes: bytes.length })
  putSegment(view, HEADER + SEGMENT, {
    type: 2,
    offset: dynamicAt,
    address: BASE + dynamicAt,
    bytes: dynamicBytes,
  })
  for (const [index, [tag, value]] of tags.entries()) {
    view.setBigUint64(dynamicAt + 16 * index, BigInt(tag), true)
    view.setBigUint64(dynamicAt + 16 * index + 8, BigInt(value), true)
  }
  bytes.set(needs, needsAt)
  bytes.set(definitions, definitionsAt)
  bytes.set(text, stringsAt)
  return bytes
}

class Strings {
  #text = '\0'

  add(text: string): number {
    const at = this.#text.length
    this.#text += `${text}\0`
    return at
  }

  bytes(): Uint8Array {
    return Buffer.from(this.#text, 'latin1')
  }
}

function putSegment(
  view: DataView,
  at: number,
  { type, offset, address, bytes }: { type: number; offset: number; address: number; bytes: number },
): void {
  view.setUint32(at, type, true)
  view.setBigUint64(at + 8, BigInt(offset), true)
  view.setBigUint64(at + 16, BigInt(address), true)
  view.setBigUint64(at + 32, BigInt(bytes), true)
}

function makeNeeds(needs: NonNullable<ElfWish['versionsNeeded']>, strings: Strings): Uint8Array {
  const pieces = needs.map(({ file, versions, isWeak }, index) => {
    const bytes = new Uint8Array(16 + 16 * versions.length)
    const view = new DataView(bytes.buffer)
    view.setUint16(0, 1, true)
    view.setUint16(2, versions.length, true)
    view.setUint32(4, strings.add(file), true)
    view.setUint32(8, 16, true)
    view.setUint32(12, index === needs.length - 1 ? 0 : bytes.length, true)
    for (const [each, version] of versions.entries()) {
      const at = 16 + 16 * each
      view.setUint16(at + 4, isWeak === true ? 2 : 0, true)
      view.setUint32(at + 8, strings.add(version), true)
      view.setUint32(at + 12, each === versions.length - 1 ? 0 : 16, true)
    }
    return bytes
  })
  return Buffer.concat(pieces)
}

/** The first is the file itself, as linkers write it. */
function makeDefinitions(versions: readonly string[], strings: Strings): Uint8Array {
  const all = versions.length === 0 ? [] : ['the file itself', ...versions]
  const bytes = new Uint8Array(28 * all.length)
  const view = new DataView(bytes.buffer)
  for (const [index, version] of all.entries()) {
    const at = 28 * index
    view.setUint16(at, 1, true)
    view.setUint16(at + 2, index === 0 ? 1 : 0, true)
    view.setUint16(at + 6, 1, true)
    view.setUint32(at + 12, 20, true)
    view.setUint32(at + 16, index === all.length - 1 ? 0 : 28, true)
    view.setUint32(at + 20, strings.add(version), true)
  }
  return bytes
}
