/**
 * ONNX Runtime calls its logger from whatever thread it is on, and JavaScript can only be entered from its own. So the
 * logger is a dozen lines of C, compiled at start by Bun's built-in compiler, that write each message as one record
 * into a pipe; a record is below PIPE_BUF, so records of several threads never mix (POSIX write(2)). A full pipe drops
 * the message and counts it: logging never holds up a run.
 */
import { cc, dlopen } from 'bun:ffi'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from '../kit/assert.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { type Address, Memory } from './memory.ts'

/** No header and no library: a device has neither, so write(2) comes in as an address and the rest is done by hand. */
const SOURCE = `
static int file;
static long (*put)(int file, const void *from, unsigned long bytes);
static int dropped;
static int add(char *to, int at, const char *text, int most) {
  for (int i = 0; text && text[i] && i < most; i++) to[at++] = text[i];
  return at;
}
static void sink(void *unused, int severity, const char *category, const char *id, const char *where, const char *text) {
  char record[2048];
  int at = 0;
  record[at++] = (char)(48 + severity);
  record[at++] = 31;
  at = add(record, at, id, 256);
  record[at++] = 31;
  at = add(record, at, where, 256);
  record[at++] = 31;
  at = add(record, at, text, 1500);
  record[at++] = 30;
  if (put(file, record, (unsigned long)at) != at) dropped++;
}
void *open_sink(int to, void *write) {
  file = to;
  put = (long (*)(int, const void *, unsigned long))write;
  return (void *)sink;
}
int dropped_count(void) { return dropped; }
`

const SYMBOLS = {
  open_sink: { args: ['i32', 'ptr'], returns: 'ptr' },
  dropped_count: { args: [], returns: 'i32' },
} as const

const O_NONBLOCK = 0o4000
const PIPE_BYTES = 65_536

export interface LogRecord {
  /** 0 verbose, 1 info, 2 warning, 3 error, 4 fatal. */
  readonly severity: number
  /** The session's log id: the model and version. */
  readonly id: string
  readonly where: string
  readonly text: string
}

/** One for the process: its C side is one static function. */
export class LogSink {
  /** What ONNX Runtime is given as `OrtLoggingFunction`. */
  readonly callback: Address
  readonly #read: (to: Memory) => number
  readonly #dropped: () => number
  readonly #buffer = new Memory(PIPE_BYTES)
  #rest = ''

  constructor() {
    const libc = dlopen('libc.so.6', {
      pipe2: { args: ['ptr', 'i32'], returns: 'i32' },
      read: { args: ['i32', 'ptr', 'usize'], returns: 'i64' },
      write: { args: ['i32', 'ptr', 'usize'], returns: 'i64' },
    })
    const ends = new Memory(8)
    if (libc.symbols.pipe2(ends.bytes, O_NONBLOCK) !== 0) {
      throw new EdgeError(
        'library_unusable',
        'Cannot open a pipe for the log of ONNX Runtime: out of file descriptors',
      )
    }
    const sink = compileSink()
    this.callback = Number(sink.symbols.open_sink(ends.words[1] ?? -1, addressOfFunction(libc.symbols.write)))
    this.#dropped = sink.symbols.dropped_count
    this.#read = (to) => Number(libc.symbols.read(ends.words[0] ?? -1, to.bytes, PIPE_BYTES))
  }

  /** Messages that did not fit since the process began. */
  get dropped(): number {
    return this.#dropped()
  }

  /** All that was written since the last call; never waits. */
  drain(): LogRecord[] {
    const records: LogRecord[] = []
    for (;;) {
      const bytes = this.#read(this.#buffer)
      if (bytes <= 0) return records
      const parts = (this.#rest + Buffer.from(this.#buffer.buffer, 0, bytes).toString()).split('\x1e')
      this.#rest = parts.pop() ?? ''
      for (const part of parts) records.push(parseRecord(part))
    }
  }
}

/** Bun keeps the address of a bound function on it, though its types do not say so. */
function addressOfFunction(bound: unknown): never {
  const { ptr: address } = bound as { ptr?: unknown }
  assert(typeof address === 'number', 'a bound function knows its address')
  return address as never
}

function compileSink() {
  const path = join(tmpdir(), `limpet-log-sink-${process.pid}-${crypto.randomUUID()}.c`)
  try {
    writeFileSync(path, SOURCE, { flag: 'wx', mode: 0o600 })
    return cc({ source: path, symbols: SYMBOLS, flags: '-nostdlib' })
  } catch (cause) {
    throw new EdgeError('library_unusable', `Cannot compile the log sink at "${path}": ${messageOf(cause)}`, {
      cause,
    })
  } finally {
    rmSync(path, { force: true })
  }
}

function parseRecord(record: string): LogRecord {
  const [severity = '3', id = '', where = '', ...text] = record.split('\x1f')
  return { severity: Number(severity), id, where, text: text.join(' ').trim() }
}
