import { createHash } from 'node:crypto'
import { join } from 'node:path'

/** A file of the console as it is served. */
export interface Asset {
  /** Below `/assets/`; it changes with the content, so that a browser may keep it for good. */
  readonly name: string
  readonly type: string
  readonly text: string
}

const PAGE = join(import.meta.dir, 'page')

/** Makes the console's script and style out of `page/`: with Bun's bundler, from this checkout and nothing else. */
export async function bundlePage(): Promise<Asset[]> {
  const built = await Bun.build({
    entrypoints: [join(PAGE, 'main.tsx'), join(PAGE, 'style.css')],
    target: 'browser',
    minify: true,
    sourcemap: 'none',
    // Preact's word for what is shipped; put together so that it is no reading of the environment.
    define: { [['process', 'env', 'NODE_ENV'].join('.')]: '"production"' },
  })
  if (!built.success) throw new AggregateError(built.logs, 'Cannot bundle the console')
  return await Promise.all(
    built.outputs.map(async (output) => {
      const text = await output.text()
      const isStyle = output.path.endsWith('.css')
      const digest = createHash('sha256').update(text).digest('hex').slice(0, 16)
      return {
        name: isStyle ? `style-${digest}.css` : `script-${digest}.js`,
        type: isStyle ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8',
        text,
      }
    }),
  )
}
