import si from 'systeminformation'
import type { Clock } from '../kit/clock.ts'
import type { Files } from './files.ts'

/** What the machine is, as far as it says so itself: asked once, at the start, never while anybody waits. */
export interface BoardFacts {
  readonly manufacturer: string
  readonly model: string
  readonly processor: string
  readonly cores: number
  readonly system: string
  readonly kernel: string
  /** Of a Jetson: `R36.4.3`, and which JetPack that is. */
  readonly l4t: string
  readonly jetpack: string
}

/** systeminformation starts programs; one that hangs must not keep the rest back. */
const ASK_MS_MAX = 10_000
/** NVIDIA: which release of Linux for Tegra belongs to which JetPack. */
const JETPACKS: readonly [l4t: RegExp, jetpack: string][] = [
  [/^R32/, '4'],
  [/^R3[45]/, '5'],
  [/^R36/, '6'],
  [/^R3[89]/, '7'],
]

export async function readBoard({ files, clock }: { files: Files; clock: Clock }): Promise<BoardFacts> {
  const [release, treeModel, machine, processor, system] = await Promise.all([
    files.read('etc/nv_tegra_release'),
    files.read('proc/device-tree/model'),
    bounded(si.system(), clock),
    bounded(si.cpu(), clock),
    bounded(si.osInfo(), clock),
  ])
  const l4t = parseRelease(release ?? '')
  return {
    manufacturer: treeModel === undefined ? (machine?.manufacturer ?? '') : 'NVIDIA',
    model: treeModel ?? machine?.model ?? '',
    processor: `${processor?.manufacturer ?? ''} ${processor?.brand ?? ''}`.trim(),
    cores: processor?.cores ?? 0,
    system: `${system?.distro ?? ''} ${system?.release ?? ''}`.trim(),
    kernel: system?.kernel ?? '',
    l4t,
    jetpack: JETPACKS.find(([pattern]) => pattern.test(l4t))?.[1] ?? '',
  }
}

/** `# R36 (release), REVISION: 4.3, GCID: …` */
function parseRelease(text: string): string {
  const [, major, minor] = /R(\d+) \(release\), REVISION: ([\d.]+)/.exec(text) ?? []
  return major === undefined ? '' : `R${major}.${minor}`
}

async function bounded<T>(asked: Promise<T>, clock: Clock): Promise<T | undefined> {
  const stop = new AbortController()
  const late = clock.sleep(ASK_MS_MAX, stop.signal).then(() => undefined)
  const answer = await Promise.race([asked.catch(() => undefined), late])
  stop.abort()
  return answer
}
