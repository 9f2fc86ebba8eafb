import { createHash } from 'node:crypto'
import type { ApiDocument, Operation } from './openapi.ts'
import type { DescribedModel } from './openapi-model.ts'

/** A longer request is not for a command line. */
const EXAMPLE_CHARACTERS_MAX = 2000

const STYLE = `
:root { color-scheme: light dark; --line: #8886; --soft: #8882 }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
table { border-collapse: collapse; width: 100% }
caption, th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.5rem }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
pre { background: var(--soft); padding: 0.75rem; overflow-x: auto }
code, pre { font-family: ui-monospace, monospace }
section { margin-block: 2rem }
:focus-visible { outline: 3px solid #47c; outline-offset: 2px }
@media (prefers-color-scheme: light) { body { color: #222; background: #fff } a { color: #04c } }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } a { color: #9bf } }
`

/** Nothing but this text and this style: no script, no other host, not within another page. */
export const DOCS_HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy':
    `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
} as const

/** The OpenAPI document for people. `origin` is how the reader came here, like "http://box:8000". */
export function renderDocs(
  document: ApiDocument,
  { origin, basePath }: { origin: string; basePath: string },
) {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation })),
  )
  const models = operations.flatMap(({ path, operation }) =>
    operation['x-limpet-model'] === undefined
      ? []
      : [renderModel(operation['x-limpet-model'], operation, `${origin}${basePath}${path}`)],
  )
  const routes = operations.filter(({ operation }) => operation['x-limpet-model'] === undefined)
  const title = escapeHtml(document.info.title)
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${STYLE}</style></head>
<body>
<header><h1>${title} <small>${escapeHtml(document.info.version)}</small></h1>
<nav aria-label="On this page"><a href="#models">Models</a> · <a href="#routes">Routes</a> ·
<a href="${escapeHtml(basePath)}/v2/openapi.json">OpenAPI document</a></nav></header>
<main>
<section id="models"><h2>Models</h2>
${models.length === 0 ? '<p>No model is ready.</p>' : models.join('\n')}
</section>
<section id="routes"><h2>Routes</h2>
${renderTable(['Method', 'Path', 'What for', 'Group'], routes.map(renderRoute))}
</section>
</main>
</body>
</html>
`
}

function renderModel(model: DescribedModel, operation: Operation, url: string): string {
  const tensors = (of: DescribedModel['inputs']) =>
    renderTable(
      ['Name', 'Datatype', 'Shape', 'Notes'],
      of.map(({ name, datatype, shape, is_optional, labels }) => [
        code(name),
        escapeHtml(datatype),
        escapeHtml(shape),
        escapeHtml(is_optional ? 'optional' : labels.join(', ')),
      ]),
    )
  const description = model.description === '' ? '' : `<p>${escapeHtml(model.description)}</p>\n`
  return `<article>
<h3>${escapeHtml(model.name)}</h3>
<p>Versions: ${escapeHtml(model.versions.join(', '))}</p>
${description}<h4>Inputs</h4>
${tensors(model.inputs)}
<h4>Outputs</h4>
${tensors(model.outputs)}
<h4>Ask it</h4>
${renderCurl(operation, url)}
</article>`
}

/** A region that scrolls must be reachable by key. */
function renderCurl({ description, requestBody }: Operation, url: string): string {
  const example = requestBody?.content['application/json']?.example
  if (example === undefined) return '<p>Its inputs are for binary data, or too many for an example.</p>'
  const body = JSON.stringify(example)
  if (body.length > EXAMPLE_CHARACTERS_MAX)
    return '<p>A request that works is in the OpenAPI document: too long for here.</p>'
  const output = example['parameters'] === undefined ? '' : ' --output -'
  const line = `curl -s${output} ${quoteShell(url)} -d ${quoteShell(body)}`
  const note = description === undefined ? '' : `\n<p>${escapeHtml(description)}</p>`
  return `<pre tabindex="0" role="region" aria-label="Example"><code>${escapeHtml(line)}</code></pre>${note}`
}

function renderRoute(route: { method: string; path: string; operation: Operation }): string[] {
  const { summary, tags } = route.operation
  return [
    code(route.method.toUpperCase()),
    code(route.path),
    escapeHtml(summary),
    escapeHtml(tags.join(', ')),
  ]
}

/** Cells are HTML already, heads are text. */
function renderTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.map((text) => `<th scope="col">${escapeHtml(text)}</th>`).join('')
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`)
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table>`
}

function code(text: string): string {
  return `<code>${escapeHtml(text)}</code>`
}

/** What comes from a model's file must not end the quotes: the line is made to be pasted. */
function quoteShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
