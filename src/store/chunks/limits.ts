/** What the chunk plane is made of, in bytes. None of these may change: the same content has to be cut in the same places. */

/** Content-defined cuts are no nearer to each other than this. A tensor's end, or the file's, may come sooner. */
export const CHUNK_BYTES_MIN = 16 * 1024

/** So that a chunk, with its frame, fits into one message of a broker that allows 128 KB. */
export const CHUNK_BYTES_MAX = 120 * 1024

/** A tensor from this size on begins and ends a chunk: it can then stay what it is when all around it changes. */
export const TENSOR_BYTES_MIN = 8 * 1024

export const PACK_BYTES_MAX = 64 * 1024 * 1024

/** Of what is fetched as a whole: a manifest, a chunk index. */
export const OBJECT_BYTES_MAX = 8 * 1024 * 1024
