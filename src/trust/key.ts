import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { encodeCanonical } from './canonical-json.ts'

/** A public key as TUF writes it. */
export interface PublicKeyJson {
  readonly keytype: 'ed25519'
  readonly scheme: 'ed25519'
  readonly keyval: { readonly public: string }
}

/** A key that signs. Its id is the hash of its public half, so that an id cannot be lent to another key. */
export interface SigningKey {
  readonly id: string
  readonly json: PublicKeyJson
  sign(bytes: Uint8Array): Uint8Array
}

const PEM_BYTES_MAX = 16 * 1024
const PUBLIC_BYTES = 32
/** What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410). */
const SPKI_HEADER = Buffer.from('302a300506032b6570032100', 'hex')

/** A fresh Ed25519 key as PEM (PKCS #8), encrypted where there is a passphrase. */
export function generateKeyPem(passphrase: string | undefined): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  const format = { type: 'pkcs8', format: 'pem' } as const
  const pem =
    passphrase === undefined
      ? privateKey.export(format)
      : privateKey.export({ ...format, cipher: 'aes-256-cbc', passphrase })
  return pem.toString()
}

/** `name` is what an error calls it; neither the key nor the passphrase ever stands in one. */
export function readSigningKey(
  pem: string,
  options: { name: string; passphrase?: string | undefined },
): SigningKey {
  const refuse = (what: string, cause?: unknown) =>
    new EdgeError('config_invalid', `Cannot use the key "${options.name}": ${what}`, { cause })
  if (pem.length > PEM_BYTES_MAX) throw refuse(`it has ${pem.length} bytes, at most ${PEM_BYTES_MAX}`)
  if (pem.includes('ENCRYPTED') && options.passphrase === undefined) {
    throw refuse('it is encrypted; give its passphrase with --passphrase-file FILE')
  }
  let secret: KeyObject
  try {
    secret = createPrivateKey({
      key: pem,
      ...(options.passphrase === undefined ? {} : { passphrase: options.passphrase }),
    })
  } catch (cause) {
    throw refuse('it is no private key in PEM, or the passphrase is wrong', messageOf(cause))
  }
  if (secret.asymmetricKeyType !== 'ed25519') {
    throw refuse(`it is of type ${secret.asymmetricKeyType}, expected ed25519`)
  }
  const json = publicJsonOf(secret)
  return { id: keyIdOf(json), json, sign: (bytes) => new Uint8Array(sign(null, bytes, secret)) }
}

export function keyIdOf(json: PublicKeyJson): string {
  return createHash('sha256')
    .update(encodeCanonical({ ...json, keyval: { ...json.keyval } }))
    .digest('hex')
}

/** Whether the signature is this key's over these bytes. Never throws: what comes from outside is only ever wrong. */
export function isSignedBy(publicHex: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (!/^[0-9a-f]{64}$/.test(publicHex) || signature.length !== 64) return false
  try {
    const key = createPublicKey({
      key: Buffer.concat([SPKI_HEADER, Buffer.from(publicHex, 'hex')]),
      format: 'der',
      type: 'spki',
    })
    return verify(null, bytes, key, signature)
  } catch {
    return false
  }
}

function publicJsonOf(secret: KeyObject): PublicKeyJson {
  const spki = createPublicKey(secret).export({ type: 'spki', format: 'der' })
  return {
    keytype: 'ed25519',
    scheme: 'ed25519',
    keyval: { public: Buffer.from(spki.subarray(-PUBLIC_BYTES)).toString('hex') },
  }
}
