/** What of a board decides whether something that was made for one suits another. */
import { afterAll, expect, test } from 'bun:test'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readEngineBoard } from '../../src/config/engine-board.ts'
import { readBoardFacts } from '../../src/config/profile-facts.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

let count = 0
async function board(files: Readonly<Record<string, string>>, architecture = 'x64') {
  count += 1
  const root = join(folder.path, String(count))
  for (const [path, text] of Object.entries(files)) await Bun.write(join(root, path), text)
  return readEngineBoard(root, readBoardFacts(root, architecture))
}

const CPU = 'processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2\n'
const ARM = 'processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n'
const GPU = {
  'sys/bus/pci/devices/0/class': '0x030000',
  'sys/bus/pci/devices/0/vendor': '0x10de',
  'sys/bus/pci/devices/0/device': '0x26b9',
  'proc/driver/nvidia/version': 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06\n',
}

test('processor, features, GPU and driver are told', async () => {
  expect(await board({ 'proc/cpuinfo': CPU, ...GPU })).toMatchObject({
    architecture: 'x64',
    processor: 'AMD EPYC',
    gpus: '10de:26b9',
    driver: 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06',
  })
})

test('each of them makes another board; the order of the features does not', async () => {
  const boards = [
    await board({ 'proc/cpuinfo': CPU, ...GPU }),
    await board({ 'proc/cpuinfo': CPU.replace('avx avx2', 'avx2 avx'), ...GPU }),
    await board({ 'proc/cpuinfo': CPU.replace('avx2', 'avx512f'), ...GPU }),
    await board({ 'proc/cpuinfo': CPU.replace('EPYC', 'Ryzen'), ...GPU }),
    await board({ 'proc/cpuinfo': CPU, ...GPU, 'sys/bus/pci/devices/0/device': '0x2684' }),
    await board({ 'proc/cpuinfo': CPU, ...GPU, 'proc/driver/nvidia/version': 'NVRM version: 570' }),
    await board({ 'proc/cpuinfo': ARM }, 'arm64'),
    await board(
      { 'proc/cpuinfo': ARM, 'etc/nv_tegra_release': '# R36 (release), REVISION: 4.3, x' },
      'arm64',
    ),
    await board({ 'proc/cpuinfo': ARM, 'proc/device-tree/compatible': 'nvidia,tegra234\0' }, 'arm64'),
    await board({ 'proc/cpuinfo': ARM.replace('asimd', 'asimd sve') }, 'arm64'),
  ]
  expect(new Set(boards.map((one) => JSON.stringify(one))).size).toBe(boards.length - 1)
})

test('a board that says nothing is one, too', async () => {
  await writeFile(join(folder.path, 'nothing'), '')
  expect(await board({})).toMatchObject({ architecture: 'x64', processor: '', gpus: '', driver: '', l4t: '' })
})
