import { describe, expect, test } from 'bun:test'
import { firstContactMs } from '../../../src/app/agent/first-contact.ts'

const half = { fraction: () => 0.5, bytes: (length: number) => new Uint8Array(length) }

describe('the first call to the registry', () => {
  test('waits a share of the bound where the machine has just started', () => {
    expect(firstContactMs({ upSeconds: 5, secondsMax: 30, random: half })).toBe(15_000)
  })
  test('also ten minutes after that, and not later', () => {
    expect(firstContactMs({ upSeconds: 600, secondsMax: 30, random: half })).toBe(15_000)
    expect(firstContactMs({ upSeconds: 601, secondsMax: 30, random: half })).toBe(0)
  })
  test('does not wait where the bound is 0', () => {
    expect(firstContactMs({ upSeconds: 5, secondsMax: 0, random: half })).toBe(0)
  })
})
