/** The small files beside the settings: labels of a model, values of restricted headers. */
import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { readLabels } from '../../src/app/label-files.ts'
import { readRestrictions } from '../../src/app/restrictions.ts'
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

function settings(file: string) {
  const text = `outputs = [
    { name = "scores", datatype = "FP32", dims = [3], label_file = ${JSON.stringify(file)} },
    { name = "other", datatype = "FP32", dims = [3] },
  ]`
  return parseModelSettings({ path: 'config.toml', text })
}

describe('label files', () => {
  test.each([
    ['cat\ndog\n', ['cat', 'dog']],
    ['cat\r\n\r\nbird', ['cat', '', 'bird']],
  ])('%j: a label a line', async (text, labels) => {
    await Bun.write(join(folder.path, 'labels.txt'), text)
    expect(await readLabels(folder.path, settings('labels.txt'))).toEqual(new Map([['scores', labels]]))
  })

  test.each(['nothing.txt', '../labels.txt', '/etc/hostname', '.', '..'])('%s: refused', async (file) => {
    const reading = readLabels(folder.path, settings(file))
    await expect(reading).rejects.toMatchObject({ code: 'config_invalid' })
    await expect(reading).rejects.toThrow(/^Cannot read the labels/)
  })
})

describe('values of restricted headers', () => {
  const apis: ['health'] = ['health']

  test('from the config, or from a file without the white space around it', async () => {
    const path = join(folder.path, 'key')
    await Bun.write(path, 'from file\n')
    expect(
      await readRestrictions([
        { apis, header: 'a', value: 'from config' },
        { apis, header: 'b', value_file: path },
      ]),
    ).toEqual([
      { apis, header: 'a', value: 'from config' },
      { apis, header: 'b', value: 'from file' },
    ])
  })

  test.each(['', ' \n'])('a file with %j: refused', async (text) => {
    const path = join(folder.path, 'empty')
    await Bun.write(path, text)
    await expect(readRestrictions([{ apis, header: 'a', value_file: path }])).rejects.toThrow('is empty')
  })

  test('a file that is not there: named', async () => {
    const path = join(folder.path, 'nothing')
    await expect(readRestrictions([{ apis, header: 'a', value_file: path }])).rejects.toThrow(path)
  })
})
