import { type Check, checksOf } from './check.ts'
import type { StorageFacts } from './storage.ts'

const { ok, warning, fault } = checksOf('storage')
const GIB = 2 ** 30
const [FREE_WARNING, FREE_FAULT, FREE_BYTES_FAULT] = [0.1, 0.03, 64 * 2 ** 20] as const
const [WEAR_WARNING, WEAR_FAULT] = [80, 100] as const

export function judgeStorage(facts: StorageFacts): Check[] {
  const { state, sqlite } = facts
  const isThere = facts.nearest === state ? '' : ', which is not there yet'
  return [
    facts.problem === ''
      ? ok('state', `state in "${state}"${isThere}, SQLite ${sqlite} opens`, { facts: { state, sqlite } })
      : fault('state', `Cannot use the state folder "${state}": ${facts.problem}`, {
          fix: 'give a folder that this user can write to with --state DIR or LIMPET_STATE, or look as the user that serves (sudo)',
        }),
    ...judgeMount(facts),
    ...judgeSpace(facts),
    ...Object.entries(facts.wear).map(judgeWear),
    ...(facts.drafts === 0
      ? []
      : [
          ok(
            'drafts',
            `${facts.drafts} files were cut off while they were written: the next start lets go of them`,
          ),
        ]),
  ]
}

/** File systems that forget with the machine. */
const VOLATILE: ReadonlySet<string> = new Set(['tmpfs', 'ramfs', 'devtmpfs', 'overlay'])

function judgeMount({ state, mount }: StorageFacts): Check[] {
  if (mount === undefined) return []
  const facts = { file_system: mount.type, read_only: mount.isReadOnly }
  if (mount.isReadOnly) {
    const fix =
      'look in "dmesg" for errors of the disk: Linux makes a file system read-only when it finds one damaged. Otherwise mount it "rw"'
    return [fault('mount', `"${state}" is on a ${mount.type} file system that is read-only`, { fix, facts })]
  }
  if (!VOLATILE.has(mount.type)) return []
  const fix = mount.type === 'overlay' ? 'mount a volume there' : 'put the state on a disk'
  return [
    warning(
      'mount',
      `"${state}" is on ${mount.type}: what it holds is gone with the ${mount.type === 'overlay' ? 'container' : 'next restart'}`,
      { fix, facts },
    ),
  ]
}

function judgeSpace({ space, state }: StorageFacts): Check[] {
  if (space === undefined || space.blocks === 0) return []
  const free = space.bavail / space.blocks
  const freeBytes = space.bavail * space.bsize
  const inodes = space.files === 0 ? 1 : space.ffree / space.files
  const facts = { free_bytes: freeBytes, free_share: round(free), inodes_free_share: round(inodes) }
  const text = `${(freeBytes / GIB).toFixed(1)} of ${((space.blocks * space.bsize) / GIB).toFixed(1)} GiB are free (${percent(free)})`
  const fix = `make room on the disk of "${state}": "du -x --max-depth=2 / | sort -n" says what takes it`
  const spaceCheck =
    free < FREE_FAULT || freeBytes < FREE_BYTES_FAULT
      ? fault('space', text, { fix, facts })
      : free < FREE_WARNING
        ? warning('space', text, { fix, facts })
        : ok('space', text, { facts })
  if (inodes >= FREE_WARNING) return [spaceCheck]
  const few = `only ${percent(inodes)} of the inodes are free: there can be hardly more files, whatever room there is`
  return [spaceCheck, (inodes < FREE_FAULT ? fault : warning)('inodes', few, { fix, facts })]
}

function judgeWear([disk, value]: [disk: string, percent: number]): Check {
  const text = `${disk}: ${value} % of its life is used up`
  const more = { facts: { disk, wear_percent: value } }
  if (value < WEAR_WARNING) return ok('wear', text, more)
  return (value >= WEAR_FAULT ? fault : warning)('wear', text, {
    ...more,
    fix: 'replace the disk before it fails; the registry gives back all models',
  })
}

const percent = (share: number) => `${Math.round(100 * share)} %`
const round = (share: number) => Math.round(1000 * share) / 1000
