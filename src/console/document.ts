import type { Asset } from './bundle.ts'

/** What every address of the console answers: the page is made by its script. Icon and colours stand here, since they come first. */
export function documentOf(assets: readonly Asset[]): string {
  const tags = assets.map(({ name, type }) =>
    type.startsWith('text/css')
      ? `<link rel="stylesheet" href="/assets/${name}">`
      : `<script type="module" src="/assets/${name}"></script>`,
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" media="(prefers-color-scheme: light)" content="#f3f6f5">
<meta name="theme-color" media="(prefers-color-scheme: dark)" content="#0d1719">
<title>Limpet</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
${tags.join('\n')}
</head>
<body><div id="root"></div><noscript>The console needs JavaScript. The API and the command line do not.</noscript></body>
</html>
`
}

export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M16 4C8.500 10 4 17.500 3 26h26C28 17.500 23.500 10 16 4Z" fill="#0b6472"/><path d="M16 4v22M16 4c-4 6-7.500 14-8 22M16 4c4 6 7.500 14 8 22" fill="none" stroke="#fff" stroke-opacity=".55" stroke-width="1.500"/></svg>`
