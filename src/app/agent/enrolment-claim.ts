import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolderDurably, writeDurably } from '../../kit/durable-file.ts'
import type { Random } from '../../kit/random.ts'

const OWNER_ONLY = 0o600
const CLAIM_BYTES = 32

/**
 * A secret that this device shows with its token, on disk before it is shown for the first time: whoever is cut off before
 * the answer has come, or was kept, shows both again, and is known by it.
 */
export async function claimFor(of: { state: string; token: string; random: Random }): Promise<string> {
  const token = createHash('sha256').update(of.token).digest('hex')
  const [before, kept] = (await readFile(claimPath(of.state), 'utf8').catch(() => '')).trim().split(' ')
  if (before === token && kept !== undefined && /^[0-9a-f]{64}$/.test(kept)) return kept
  const claim = of.random.bytes(CLAIM_BYTES).toHex()
  await makeFolderDurably(of.state)
  await writeDurably(claimPath(of.state), Buffer.from(`${token} ${claim}\n`), OWNER_ONLY)
  return claim
}

/** The credential is on disk: nobody needs to be known by the claim any more. */
export async function forgetClaim(state: string): Promise<void> {
  await rm(claimPath(state), { force: true })
}

function claimPath(state: string): string {
  return join(state, 'enrolment.claim')
}
