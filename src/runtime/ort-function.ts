import { CFunction, type Pointer } from 'bun:ffi'
import { BugError } from '../kit/errors.ts'
import { type Address, pointerAt } from './memory.ts'
import { ORT_SYMBOLS, type OrtSymbolName } from './ort-symbols.ts'

/** Pointers and integers go in as numbers; a pointer, status or integer comes out, null for a null pointer. */
export type NativeFunction = (...args: readonly (number | null)[]) => number | null

/** Binds one function of the `OrtApi` struct at `api`. */
export function bindFunction(api: Address, apiVersion: number, name: OrtSymbolName): NativeFunction {
  const symbol: { index: number; args: readonly string[]; returns?: string; since?: number } =
    ORT_SYMBOLS[name]
  if (symbol.since !== undefined && symbol.since > apiVersion) {
    return () => {
      throw new BugError(`${name} was called, which API version ${apiVersion} does not have`)
    }
  }
  return bindAddress(pointerAt(api, symbol.index * 8), symbol.args, symbol.returns ?? 'ptr')
}

export function bindAddress(address: Address, args: readonly string[], returns: string): NativeFunction {
  return CFunction({
    ptr: address as Pointer,
    args: args as never,
    returns: returns as never,
  }) as unknown as NativeFunction
}
