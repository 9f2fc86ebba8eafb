import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { messageOf } from '../../kit/errors.ts'
import { enrolmentPath } from '../agent/enrolment.ts'
import type { Context } from './context.ts'
import type { EndpointFacts } from './endpoint.ts'

type CertificateRead =
  | {
      readonly subject: string
      readonly issuer: string
      readonly validFromMs: number
      readonly validToMs: number
    }
  | { readonly problem: string }

export interface CertificateFacts {
  readonly nowMs: number
  /** Files of the settings, by what they are. */
  readonly files: readonly {
    readonly what: 'ca' | 'certificate'
    readonly path: string
    readonly read: CertificateRead
  }[]
  /** Whether the key is the certificate's; undefined: there is none, or "certificates" says why it cannot be known. */
  readonly keyProblem: string | undefined
  /** Files that only their owner may read, and who may read them. */
  readonly secrets: readonly { readonly path: string; readonly mode: number | undefined }[]
  readonly servers: readonly EndpointFacts[]
}

export async function lookAtCertificates({
  config,
  state,
  enrolment,
  clock,
  endpoints,
}: Context): Promise<CertificateFacts> {
  const { ca_file, certificate_file, key_file } = config.registry
  const named = [['ca', ca_file] as const, ['certificate', certificate_file] as const]
  const files = await Promise.all(
    named.flatMap(([what, path]) =>
      path === undefined ? [] : [readCertificate(path).then((read) => ({ what, path, read }))],
    ),
  )
  const secrets = [
    ...(enrolment === undefined ? [] : [enrolmentPath(state)]),
    ...(key_file === undefined ? [] : [key_file]),
  ]
  return {
    nowMs: clock.now(),
    files,
    keyProblem: key_file === undefined ? undefined : await problemOfKey(key_file, certificate_file),
    secrets: await Promise.all(secrets.map(async (path) => ({ path, mode: await modeOf(path) }))),
    servers: await endpoints(),
  }
}

async function readCertificate(path: string): Promise<CertificateRead> {
  try {
    const { subject, issuer, validFromDate, validToDate } = new X509Certificate(await readFile(path))
    return {
      subject: commonName(subject),
      issuer: commonName(issuer),
      validFromMs: validFromDate.getTime(),
      validToMs: validToDate.getTime(),
    }
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

function commonName(name: string): string {
  return /^CN=(.*)$/m.exec(name)?.[1] ?? name.replaceAll('\n', ', ')
}

async function problemOfKey(
  keyPath: string,
  certificatePath: string | undefined,
): Promise<string | undefined> {
  try {
    const key = createPrivateKey(await readFile(keyPath))
    if (certificatePath === undefined) return 'there is no registry.certificate_file to it'
    const certificate = await readFile(certificatePath).then(
      (bytes) => new X509Certificate(bytes),
      () => undefined,
    )
    return certificate === undefined || certificate.checkPrivateKey(key)
      ? undefined
      : 'it is not the key of the certificate'
  } catch (error) {
    return messageOf(error)
  }
}

async function modeOf(path: string): Promise<number | undefined> {
  return await stat(path).then(
    ({ mode }) => mode & 0o777,
    () => undefined,
  )
}
