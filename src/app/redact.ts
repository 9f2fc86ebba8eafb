/** What takes the place of a secret. */
const HIDDEN = '…'

/** Names under which secrets stand in settings, JSON, query strings and logs; a path to one ("key_file") is none. */
const NAMES =
  'passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|session[_-]?key|credential|csrf|cookie'
/** Quotes may be escaped, where JSON stands within JSON. */
const QUOTE = `\\\\{0,3}["']`

/**
 * What looks like a secret, wherever it stands. Each expression is bounded, so that no text, however it is made, takes
 * more than time in proportion to its length.
 */
const PATTERNS: readonly (readonly [pattern: RegExp, instead: string])[] = [
  // Private keys as PEM, whole or cut off, with real line ends or with "\n".
  [
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s\\:,.-]{0,20000}/g,
    `${HIDDEN}a private key${HIDDEN}`,
  ],
  // A user and a password in a URL.
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@"'<>]{1,512}@/gi, `$1${HIDDEN}@`],
  [
    /\b((?:proxy-)?authorization\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']?)[^\r\n"'\\]{1,4096}/gi,
    `$1${HIDDEN}`,
  ],
  [/\b(bearer|basic)\s{1,4}[A-Za-z0-9._~+/=-]{8,4096}/gi, `$1 ${HIDDEN}`],
  [
    new RegExp(
      `((?:\\b|_)[\\w.-]{0,40}(?:${NAMES})(?![\\w-]{0,20}_(?:file|path|at|id|bytes|max|seconds))[\\w.-]{0,40}(?:${QUOTE})?\\s{0,4}[:=]\\s{0,4})(${QUOTE})(?:(?!\\2)[^\\r\\n]){0,4096}`,
      'gi',
    ),
    `$1$2${HIDDEN}`,
  ],
  [
    new RegExp(
      `((?:\\b|_)[\\w.-]{0,40}(?:${NAMES})(?![\\w-]{0,20}_(?:file|path|at|id|bytes|max|seconds))[\\w.-]{0,40}\\s{0,4}[:=]\\s{0,4})(?![\\s"'\\\\])[^\\s"',;&}\\])]{1,4096}`,
      'gi',
    ),
    `$1${HIDDEN}`,
  ],
  // What this fleet's registry gives out.
  [/\b[a-z]{2}_[0-9a-f]{16}_[0-9a-f]{64}\b/g, HIDDEN],
  // JSON Web Tokens, and keys of AWS, GitHub and GitLab.
  [/\beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}(?:\.[A-Za-z0-9_-]{0,4096})?/g, HIDDEN],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,255}\b|\bglpat-[\w-]{20,255}\b/g, HIDDEN],
]

/** Shorter ones would be found in any text. */
const SECRET_CHARACTERS_MIN = 6

/** The text without the secrets that are known, and without what looks like one. */
export function redact(text: string, secrets: readonly string[]): string {
  const spellings = secrets
    .filter((secret) => secret.length >= SECRET_CHARACTERS_MIN)
    .flatMap((secret) => [
      secret,
      JSON.stringify(secret).slice(1, -1),
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64'),
    ])
  const known = [...new Set(spellings)].sort((a, b) => b.length - a.length)
  const hidden = known.reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), text)
  return PATTERNS.reduce((rest, [pattern, instead]) => rest.replaceAll(pattern, instead), hidden)
}

const SECRET_NAME = new RegExp(`(?:${NAMES})(?!\\w*_(?:file|path|at|id|bytes|max|seconds)$)`, 'i')

/** The same for what is to be JSON afterwards: text by text, and whatever has a telling name. */
export function redactJson(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === 'string') return redact(value, secrets)
  if (Array.isArray(value)) return value.map((each) => redactJson(each, secrets))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, each]) => {
    const isSecret = typeof each === 'string' && SECRET_NAME.test(name)
    return [redact(name, secrets), isSecret ? HIDDEN : redactJson(each, secrets)]
  })
  return Object.fromEntries(entries)
}
