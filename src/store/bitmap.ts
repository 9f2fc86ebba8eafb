/** Which of a number of things are there, one bit each. */
export class Bitmap {
  readonly bytes: Uint8Array

  constructor(count: number, bytes?: Uint8Array) {
    const length = Math.ceil(count / 8)
    this.bytes = bytes?.length === length ? Uint8Array.from(bytes) : new Uint8Array(length)
  }

  has(index: number): boolean {
    return (((this.bytes[index >> 3] ?? 0) >> (index & 7)) & 1) === 1
  }

  add(index: number): void {
    this.bytes[index >> 3] = (this.bytes[index >> 3] ?? 0) | (1 << (index & 7))
  }

  remove(index: number): void {
    this.bytes[index >> 3] = (this.bytes[index >> 3] ?? 0) & ~(1 << (index & 7))
  }
}
