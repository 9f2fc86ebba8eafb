/**
 * Memory of bytes that nobody reads any more, at once: it lies outside of the collector's heap, which does not see how much
 * of it there is. Only where they are all there is in their memory: a view may have neighbours.
 */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
