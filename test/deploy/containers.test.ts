/** What makes and runs containers: held against the rules that a linter has, and tried as far as it goes without an engine. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DockerfileParser, type Instruction } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { BINARY, createFolder, freePort, runToEnd } from '../kit/binary.ts'
import { eventually } from '../kit/device-link.ts'
import { createScratchRoot, type ScratchRoot, WITHOUT_ROOT } from '../kit/scratch-root.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const ROOT = join(import.meta.dir, '../..')
const FILES = ['Dockerfile', 'Dockerfile.jetson'] as const

const read = (path: string) => Bun.file(join(ROOT, path)).text()
const folder = await createFolder()
afterAll(folder.remove)

async function instructionsOf(path: string): Promise<Instruction[]> {
  return DockerfileParser.parse(await read(path)).getInstructions()
}

function all(instructions: readonly Instruction[], keyword: string): string[] {
  return instructions
    .filter((instruction) => instruction.getKeyword() === keyword)
    .map((instruction) => instruction.getArgumentsContent() ?? '')
}

/** The words of an instruction in its JSON form, which needs no shell. */
const exec = (text: string | undefined) => JSON.parse(text?.slice(text.indexOf('[')) ?? 'null') as string[]

describe.each(FILES)('%s', (path) => {
  test('has nothing that a linter would name', async () => {
    expect(validate(await read(path)).map(({ message }) => message)).toEqual([])
  })

  test('does find what is wrong', () => {
    expect(validate('FROM scratch\nCOPPY a b\n').length).toBeGreaterThan(0)
  })

  test("keeps hadolint's rules: pinned, not root, no shell between, nothing fetched", async () => {
    const instructions = await instructionsOf(path)
    // DL3006, DL3007: what is named at all has a tag, and not the one that moves.
    for (const base of all(instructions, 'ARG').filter((argument) => argument.startsWith('BASE=')))
      expect(base).toMatch(/^BASE=[\w./-]+:(?!latest)[\w.-]+$/)
    // DL3002: the last user of each stage that runs is a number, and not root's.
    expect(all(instructions, 'USER').at(-1)).toBe('10001:10001')
    // DL3025, DL3020, DL3004, DL4006 and what would make the image depend on a network.
    for (const keyword of ['ENTRYPOINT', 'CMD']) expect(exec(all(instructions, keyword).at(-1))).toBeArray()
    expect(all(instructions, 'ADD')).toEqual([])
    for (const command of all(instructions, 'RUN'))
      expect(command).not.toMatch(/sudo|apt-get|curl|wget|\|(?!\|)/)
    expect(all(instructions, 'VOLUME')).toEqual(['["/var/lib/limpet"]'])
  })

  test('starts and asks what the binary understands', async () => {
    const instructions = await instructionsOf(path)
    await understands(exec(all(instructions, 'CMD').at(-1)))
    await understands(exec(all(instructions, 'HEALTHCHECK').at(-1)).slice(1))
  })
})

test('what .dockerignore lets through is what the files copy', async () => {
  const ignored = (await read('.dockerignore')).trim().split('\n')
  expect(ignored[0]).toBe('*')
  const copied = (await Promise.all(FILES.map(instructionsOf))).flatMap((instructions) =>
    all(instructions, 'COPY'),
  )
  for (const copy of copied) {
    const from =
      copy
        .replace(/--\S+ /, '')
        .split(' ')[0]
        ?.replace(/\/$/, '') ?? ''
    if (!from.includes('BINARY')) expect(ignored).toContain(`!${from}`)
  }
  expect(ignored).toContain('!dist/limpet-linux-x64')
})

describe.skipIf(WITHOUT_ROOT !== '').each(FILES)(
  `the steps of %s, in a root of their own${WITHOUT_ROOT}`,
  (path) => {
    let root: ScratchRoot
    beforeAll(async () => {
      root = await createScratchRoot()
      await copyFile(BINARY, join(root.path, 'local/bin/limpet'))
    })
    afterAll(async () => await root?.remove())

    /** Of all processes in there that are the binary. */
    const each = async (script: string) =>
      await root.run([
        'sh',
        '-c',
        `for at in /proc/[0-9]*; do if grep -qx limpet $at/comm; then ${script}; fi; done`,
      ])

    test('run, and what they make serves without root, with nothing to write but its state, and is well', async () => {
      const instructions = await instructionsOf(path)
      for (const step of all(instructions, 'RUN')) {
        const { output, exitCode } = await root.run(['sh', '-ec', step.replaceAll('\\\n', '')])
        expect({ step, output, exitCode }).toMatchObject({ exitCode: 0 })
      }
      expect((await root.run(['stat', '-c', '%u:%g %a', '/var/lib/limpet'])).output).toBe('10001:10001 750\n')
      expect(await Bun.file(join(root.path, 'etc/limpet/limpet.toml')).text()).toBe(GPU_SETTINGS)

      const port = String(await freePort())
      const serving = root.run([
        'unshare',
        '--mount',
        '--propagation=unchanged',
        'sh',
        '-ec',
        asContainer(instructions, port),
      ])
      const check = exec(all(instructions, 'HEALTHCHECK').at(-1)).slice(1)
      const health = () => root.run(['/usr/local/bin/limpet', ...check, '--url', `http://127.0.0.1:${port}`])
      await eventually('well', async () => (await health()).exitCode === 0)
      const looked = await each('grep -E "^(Uid|CapBnd)" $at/status; cd "$at/root" && touch usr/x x || true')
      expect(looked.output).toMatch(/^Uid:\t10001/m)
      expect(looked.output).toMatch(/^CapBnd:\t0+$/m)
      expect(looked.output.match(/Read-only file system/g)?.length).toBeGreaterThanOrEqual(4)
      await each('kill $(basename $at)')
      expect(await serving).toMatchObject({ exitCode: 0 })
      expect(await health()).toMatchObject({ exitCode: 69 })
    })
  },
)

/** What both images say of the library that is copied into them. */
const GPU_SETTINGS = '[runtime]\nlibrary = "/opt/onnxruntime/lib/libonnxruntime.so"\n'

/** The command as --read-only with a volume, a tmpfs and no capabilities would start it; with the library of the binary. */
function asContainer(instructions: readonly Instruction[], port: string): string {
  // Not for all the world, as in a container: this one has the machine's own network.
  const command = exec(all(instructions, 'CMD').at(-1)).join(' ').replace('0.0.0.0', '127.0.0.1')
  const as = 'setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all --no-new-privs'
  return [
    'mkdir /tmp/image',
    'mount --rbind / /tmp/image',
    'cd /tmp/image',
    'mount --bind var/lib/limpet var/lib/limpet',
    'mount -o remount,ro,bind /tmp/image',
    'mount -t tmpfs none tmp',
    `exec chroot . env LIMPET_STATE=/var/lib/limpet ${as} /usr/local/bin/limpet ${command} --port ${port}`,
  ].join('\n')
}

describe('compose', () => {
  interface Service {
    readonly command?: readonly string[]
    readonly read_only: boolean
    readonly cap_drop: readonly string[]
    readonly healthcheck?: { readonly test: readonly string[] }
  }

  test('runs the image with nothing to write but its volumes, and asks as the binary understands', async () => {
    const { services } = Bun.YAML.parse(await read('deploy/compose/compose.yaml')) as {
      services: Record<string, Service>
    }
    expect(Object.keys(services)).toEqual(['device', 'registry'])
    for (const { read_only, cap_drop } of Object.values(services))
      expect({ read_only, cap_drop }).toEqual({ read_only: true, cap_drop: ['ALL'] })
    await understands(services['registry']?.command ?? [])
    await understands(services['registry']?.healthcheck?.test.slice(2) ?? [])
  })
})

describe.each(['device', 'registry'])('kubernetes/%s.yaml', (name) => {
  interface Container {
    readonly args: readonly string[]
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
    readonly securityContext: object
    readonly [probe: `${string}Probe`]: { readonly httpGet: { readonly path: string; readonly port: string } }
  }
  interface Workload {
    readonly spec: {
      readonly template: { readonly spec: { containers: Container[]; securityContext: object } }
    }
  }

  test('runs it without root and with nothing to write, and asks at routes that it has', async () => {
    const documents = [Bun.YAML.parse(await read(`deploy/kubernetes/${name}.yaml`))].flat() as Workload[]
    const { containers, securityContext } = documents.at(-1)?.spec.template.spec ?? { containers: [] }
    expect(securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 10_001 })
    const [container] = containers
    expect(container?.securityContext).toEqual({
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    })
    const paths = ['startup', 'liveness', 'readiness'].map(
      (probe) => container?.[`${probe}Probe`]?.httpGet.path,
    )
    const sources = await Promise.all(['src/http/app.ts', 'src/registry/app.ts'].map(read))
    for (const path of paths) expect(sources.join()).toContain(`'GET', '${path}'`)
    await understands(container?.args ?? [])
  })
})

/** A command of the binary with options that it has. */
async function understands(words: readonly string[]): Promise<void> {
  const { stdout, exitCode } = await runToEnd(folder.path, { command: [BINARY, words[0] ?? '', '--help'] })
  expect({ words, exitCode }).toEqual({ words, exitCode: 0 })
  const options = words.filter((word) => word.startsWith('--'))
  expect(options.filter((option) => !stdout.includes(option))).toEqual([])
}
