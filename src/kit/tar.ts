/** A file for an archive: a name with slashes, and what it holds. */
export interface TarEntry {
  readonly name: string
  readonly bytes: Uint8Array
}

const BLOCK = 512
const NAME_BYTES_MAX = 100

/** POSIX.1-1988's ustar, which every tar reads: plain files, readable by their owner alone, nobody's in particular. */
export function writeTar(entries: readonly TarEntry[], modifiedMs: number): Uint8Array {
  const pieces = entries.flatMap(({ name, bytes }) => [
    makeHeader(name, { bytes: bytes.length, modifiedMs }),
    bytes,
    padding(bytes.length),
  ])
  return Buffer.concat([...pieces, new Uint8Array(2 * BLOCK)])
}

function makeHeader(name: string, { bytes, modifiedMs }: { bytes: number; modifiedMs: number }): Uint8Array {
  if (Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw new RangeError(`Cannot archive "${name}": its name has more than ${NAME_BYTES_MAX} bytes`)
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, digits: number) =>
    `${Math.max(0, Math.floor(value)).toString(8).padStart(digits, '0')}\0`
  header.write(name, 0)
  header.write(octal(0o600, 7), 100)
  header.write(octal(0, 7), 108)
  header.write(octal(0, 7), 116)
  header.write(octal(bytes, 11), 124)
  header.write(octal(modifiedMs / 1000, 11), 136)
  header.write(' '.repeat(8), 148)
  header.write('0', 156)
  header.write('ustar\u000000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

function padding(bytes: number): Uint8Array {
  return new Uint8Array((BLOCK - (bytes % BLOCK)) % BLOCK)
}
