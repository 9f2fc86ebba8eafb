import type { ClientHints } from '../config/client-hints.ts'
import type { Metadata } from './metadata.ts'

export type InputHint = ClientHints['inputs'][string]
export type OutputHint = ClientHints['outputs'][string]

export function findInputHint({ properties }: Metadata, name: string): InputHint | undefined {
  return findOwn(properties?.client?.inputs ?? {}, name)
}

export function findOutputHint({ properties }: Metadata, name: string): OutputHint | undefined {
  return findOwn(properties?.client?.outputs ?? {}, name)
}

/** Own properties only: a model may call an input "constructor". */
function findOwn<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined
}
