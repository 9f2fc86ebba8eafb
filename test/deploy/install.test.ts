/** scripts/install.sh on a system of its own: puts the appliance there, brings it up to date, and takes it off. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmod, copyFile, mkdir, open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, freePort, runToEnd, writeModel } from '../kit/binary.ts'
import { eventually } from '../kit/device-link.ts'
import { simple } from '../kit/model-zoo.ts'
import { type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { createScratchRoot, type ScratchRoot, WITHOUT_ROOT } from '../kit/scratch-root.ts'

// A binary of 127 MB is copied and started again and again, and a busy machine takes its time.
setDefaultTimeout(120_000)

const ROOT = join(import.meta.dir, '../..')
/** Where what somebody has brought lies. */
const MEDIA = '/media/limpet'
const SHELLCHECK = Bun.which('shellcheck', { PATH: '/usr/bin:/bin' })

describe.skipIf(WITHOUT_ROOT !== '')(`on a device${WITHOUT_ROOT}`, () => {
  let root: ScratchRoot
  let before: readonly string[]
  let port: number

  const inside = (path: string) => join(root.path, path)
  const install = (...args: string[]) => root.run(['sh', `${MEDIA}/install.sh`, ...args])
  const media = (name: string) => inside(`media/limpet/${name}`)
  /** Which version serves, as clients see it. */
  const ask = async (path: string) =>
    await fetch(`http://127.0.0.1:${port}${path}`).then(
      ({ status }) => status,
      () => 0,
    )
  const pid = async () => (await readFile(inside('run/limpet.pid'), 'utf8')).trim()

  beforeAll(async () => {
    root = await createScratchRoot()
    port = await freePort()
    await copyFile(BINARY, media(`limpet-linux-${process.arch}`))
    for (const path of [
      'scripts/install.sh',
      'deploy/systemd/limpet.service',
      'deploy/systemd/limpet-gpu.conf',
    ])
      await copyFile(join(ROOT, path), media(path.split('/').at(-1) ?? ''))
    await Bun.write(media('site.toml'), `[http]\nport = ${port}\n`)
    before = await root.list()
  })
  afterAll(async () => await root?.remove())

  test('one command makes user, folders and unit, and it serves', async () => {
    const { output, exitCode } = await install('--config', `${MEDIA}/site.toml`)
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(output).toContain('limpet: installed limpet ')
    expect(await ask('/v2/health/ready')).toBe(200)
    const owner = Number((await root.run(['id', '-u', 'limpet'])).output)
    const mode = async (path: string) => {
      const found = await stat(inside(path))
      return `${(found.mode & 0o7777).toString(8)} ${found.uid === owner ? 'limpet' : found.uid}`
    }
    expect({
      binary: (await stat(inside('local/bin/limpet'))).size,
      state: await mode('var/lib/limpet'),
      settings: await mode('etc/limpet'),
      config: await mode('etc/limpet/limpet.toml'),
      models: await mode('srv/limpet/models'),
    }).toEqual({
      binary: (await stat(BINARY)).size,
      state: '750 limpet',
      settings: '750 0',
      config: '640 0',
      models: '755 0',
    })
  })

  test('the same command again changes nothing, and what serves goes on', async () => {
    const [list, serving] = [await root.list(), await pid()]
    const { output, exitCode } = await install('--config', `${MEDIA}/site.toml`)
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(output).toContain('nothing has changed, and it serves')
    expect(await pid()).toBe(serving)
    const lasting = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('var/lib/limpet/'))
    expect(lasting(await root.list())).toEqual(lasting(list))
  })

  test('settings of the device are kept when others are given', async () => {
    await Bun.write(media('other.toml'), '[http]\nport = 1\n')
    const { output, exitCode } = await install('--config', `${MEDIA}/other.toml`)
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(output).toContain('kept /etc/limpet/limpet.toml')
    expect(await readFile(inside('etc/limpet/limpet.toml'), 'utf8')).toBe(`[http]\nport = ${port}\n`)
  })

  test('a new binary takes the place of the old one, which is kept', async () => {
    // A byte that ELF leaves open: another file, and the same program.
    await writeByte(media('newer'), { from: BINARY, at: 15, value: 1 })
    const { output, exitCode } = await install('--binary', `${MEDIA}/newer`)
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(await byteOf(inside('local/bin/limpet'), 15)).toBe(1)
    expect(await byteOf(inside('local/lib/limpet/previous/limpet'), 15)).toBe(0)
    expect(await ask('/v2/health/ready')).toBe(200)
  })

  test('a new binary that does not become ready gives way to the old one', async () => {
    await compile(media('broken'), BROKEN)
    const { output, exitCode } = await install('--binary', `${MEDIA}/broken`, '--ready-seconds', '2')
    expect({ exitCode, output }).toMatchObject({ exitCode: 1 })
    expect(output).toContain(
      'Cannot upgrade: the new binary was not ready within 2 s; the old one serves again',
    )
    expect(await byteOf(inside('local/bin/limpet'), 15)).toBe(1)
    expect(await ask('/v2/health/ready')).toBe(200)
  })

  describe('refused, with the old one serving on:', () => {
    test.each([
      ['what is no program', ['--binary', `${MEDIA}/site.toml`], 1, 'it is no program'],
      [
        'one for another machine',
        ['--binary', `${MEDIA}/foreign`],
        1,
        'it is for another machine, this machine is',
      ],
      ['a wrong SHA-256', ['--sha256', 'ab'.repeat(32)], 1, `expected ${'ab'.repeat(32)}`],
      [
        'what cannot run here',
        ['--binary', `${MEDIA}/unable`],
        1,
        'Cannot run "/media/limpet/unable" on this machine',
      ],
      [
        'a file that is not there',
        ['--binary', '/nowhere'],
        1,
        'Cannot read "/nowhere": there is no such file',
      ],
      ['a token that all can see', ['--token', 'le_x'], 64, 'use --token-file'],
      [
        'a registry without a token',
        ['--registry', 'http://127.0.0.1:1'],
        64,
        'give --token-file FILE, or LIMPET_TOKEN',
      ],
      ['an option that there is not', ['--frobnicate'], 64, 'Cannot understand "--frobnicate"'],
      ['an option without its value', ['--binary'], 64, 'Cannot use --binary: it wants a value'],
      ['a time that is none', ['--ready-seconds', 'soon'], 64, 'Cannot wait "soon" seconds'],
      ['purge alone', ['--purge'], 64, '--purge goes with --uninstall'],
    ])('%s', async (_, args, code, words) => {
      await writeByte(media('foreign'), { from: '/bin/true', at: 18, value: 0xf3 })
      await compile(media('unable'), 'int main(void) { return 3; }')
      const list = (await root.list()).filter((line) => !line.startsWith('var/lib/limpet/'))
      const { output, exitCode } = await install(...args)
      expect({ exitCode, output }).toEqual({ exitCode: code, output: expect.stringContaining(words) })
      expect((await root.list()).filter((line) => !line.startsWith('var/lib/limpet/'))).toEqual(list)
      expect(await ask('/v2/health/ready')).toBe(200)
    })

    test('somebody who is not root', async () => {
      const as = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'sh', `${MEDIA}/install.sh`]
      const { output, exitCode } = await root.run(as)
      expect({ exitCode, output }).toEqual({ exitCode: 1, output: expect.stringContaining('run it as root') })
    })
  })

  test('taken off, it serves no more, and settings, models and state are kept', async () => {
    const { output, exitCode } = await install('--uninstall')
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(await ask('/v2/health/live')).toBe(0)
    const left = (await root.list()).map((line) => line.split(' ')[0])
    expect(left.filter((path) => /local\/.*limpet|systemd\/system\/./.test(path ?? ''))).toEqual([])
    expect(left).toContain('etc/limpet/limpet.toml')
    expect(left).toContain('srv/limpet/models')
    expect((await install('--uninstall')).exitCode).toBe(0)
  })

  test('put back, it serves as before; purged, nothing of it is left', async () => {
    expect((await install()).exitCode).toBe(0)
    expect(await ask('/v2/health/ready')).toBe(200)
    const { output, exitCode } = await install('--uninstall', '--purge')
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(await ask('/v2/health/live')).toBe(0)
    expect(await root.list()).toEqual(before)
  })

  describe('of a fleet', () => {
    let registry: RunningRegistry
    let folder: Awaited<ReturnType<typeof createFolder>>
    const operator = async (...args: string[]) => {
      const env = {
        LIMPET_REGISTRY: registry.url,
        LIMPET_API_KEY_FILE: join(registry.state, 'admin.key'),
        LIMPET_STATE: join(folder.path, 'operator'),
      }
      const ended = await runToEnd(folder.path, { command: [BINARY, ...args], env })
      expect({ args, stderr: ended.stderr, exitCode: ended.exitCode }).toMatchObject({ exitCode: 0 })
      return ended.stdout
    }
    const token = async (device: string) =>
      (JSON.parse(await operator('token', '--device', device, '--json')) as { token: string }).token

    beforeAll(async () => {
      folder = await createFolder()
      registry = await startRegistry(join(folder.path, 'central'))
    })
    afterAll(async () => {
      await registry?.stop('SIGKILL')
      await folder?.remove()
    })

    test.each(['a file', 'standard input', 'the environment'])(
      'enrolled by a token from %s, which no command line and no environment shows',
      async (from) => {
        await mkdir(media('seen'), { recursive: true })
        await chmod(media('seen'), 0o777)
        await compile(media('telling'), TELLING)
        const device = `cam-${from.replaceAll(' ', '-')}`
        const secret = await token(device)
        await Bun.write(media('token'), `${secret}\n`)
        const source = from === 'a file' ? `${MEDIA}/token` : from === 'standard input' ? '-' : undefined
        const args = ['--binary', `${MEDIA}/telling`, '--registry', registry.url, '--no-start']
        const ended = await root.run(
          ['sh', `${MEDIA}/install.sh`, ...args, ...(source === undefined ? [] : ['--token-file', source])],
          {
            ...(source === undefined && { env: { LIMPET_TOKEN: secret } }),
            ...(source === '-' && { stdin: `${secret}\n` }),
          },
        )
        expect(ended).toMatchObject({ exitCode: 0 })
        expect(ended.output).toContain(`Enrolled as "${device}"`)
        expect(ended.output).not.toContain(secret)
        const seen = await root.run(['sh', '-c', `cat ${MEDIA}/seen/*`])
        expect(seen.output).toContain('--token-file')
        expect(seen.output).not.toContain(secret)
        expect((await stat(inside('var/lib/limpet/enrolment.json'))).mode & 0o777).toBe(0o600)
        // Another token is not spent on a device that has its name.
        const again = await root.run(['sh', `${MEDIA}/install.sh`, ...args], {
          env: { LIMPET_TOKEN: 'le_other' },
        })
        expect(again).toMatchObject({ exitCode: 0 })
        expect(again.output).toContain('kept the enrolment')
        expect(await install('--uninstall', '--purge')).toMatchObject({ exitCode: 0 })
        expect(await root.list()).toEqual(before)
      },
    )

    test('a site without a network: an enrolment and a bundle from elsewhere, and what was signed serves', async () => {
      await writeModel(join(folder.path, 'work'), 'simple', { onnx: simple() })
      const keys = join(registry.state, 'development-keys')
      const [key = ''] = await Array.fromAsync(new Bun.Glob('demo-*').scan({ cwd: join(keys, 'publishers') }))
      const trust = ['--root', join(keys, 'root.json')]
      const signing = ['--family', 'demo', '--key', join(keys, 'publishers', key), ...trust]
      await operator('model', 'push', join(folder.path, 'work/simple'), ...signing)
      const laptop = join(folder.path, 'laptop')
      await operator('enrol', '--registry', registry.url, '--token', await token('far'), '--state', laptop)
      await operator('assign', 'far', 'demo/simple@1', '--observe-seconds', '1')
      const site = join(folder.path, 'site.bundle')
      await operator('bundle', 'export', site, '--model', 'demo/simple@1', '--device', 'far', ...trust)
      await registry.stop('SIGKILL')
      await copyFile(site, media('site.bundle'))
      await chmod(media('site.bundle'), 0o644)
      await copyFile(join(laptop, 'enrolment.json'), media('enrolment.json'))

      const brought = ['--enrolment', `${MEDIA}/enrolment.json`, '--bundle', `${MEDIA}/site.bundle`]
      const ended = await install('--config', `${MEDIA}/site.toml`, ...brought)
      expect(ended).toMatchObject({ exitCode: 0 })
      expect(ended.output).toContain('with an assignment for this device')
      await eventually('it serves', async () => (await ask('/v2/models/simple/ready')) === 200)
      expect(await install('--uninstall', '--purge')).toMatchObject({ exitCode: 0 })
      expect(await root.list()).toEqual(before)
    })
  })
})

test.skipIf(SHELLCHECK === null)(
  `shellcheck finds nothing in the shell scripts${SHELLCHECK === null ? ' (skipped: shellcheck is not installed)' : ''}`,
  async () => {
    for (const path of ['scripts/install.sh', 'test/kit/systemctl.sh']) {
      const { stdout, exitCode } = await runToEnd(ROOT, { command: [SHELLCHECK ?? '', path] })
      expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 0 })
    }
  },
)

/** Runs, says its version, and never serves. */
const BROKEN = `#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "up") == 0) return 1;
  return execv("${MEDIA}/limpet-linux-${process.arch}", words);
}
`

/** Writes down how it was called, and in which environment, and is Limpet then. */
const TELLING = `#include <stdio.h>
#include <unistd.h>
extern char **environ;
int main(int count, char **words) {
  char path[64];
  snprintf(path, sizeof path, "${MEDIA}/seen/%d", getpid());
  FILE *file = fopen(path, "w");
  for (int index = 0; index < count; index += 1) fprintf(file, "%s\\n", words[index]);
  for (char **variable = environ; *variable; variable += 1) fprintf(file, "%s\\n", *variable);
  fclose(file);
  return execv("${MEDIA}/limpet-linux-${process.arch}", words);
}
`

async function compile(path: string, code: string): Promise<void> {
  const child = Bun.spawn(['gcc', '-x', 'c', '-o', path, '-'], {
    stdin: Buffer.from(code),
    stderr: 'inherit',
  })
  expect(await child.exited).toBe(0)
}

async function writeByte(path: string, byte: { from: string; at: number; value: number }): Promise<void> {
  await copyFile(byte.from, path)
  const file = await open(path, 'r+')
  await file.write(Uint8Array.of(byte.value), 0, 1, byte.at)
  await file.close()
}

async function byteOf(path: string, at: number): Promise<number | undefined> {
  return (
    await Bun.file(path)
      .slice(at, at + 1)
      .bytes()
  )[0]
}
