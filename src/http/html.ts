/** The pages that webdist itself serves: HTML that loads nothing and runs no script. */

import { createHash } from 'node:crypto';

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#1b2420, #e9efe9); --subtle: light-dark(#546059, #a3b0a8);
  --link: light-dark(#1f6b45, #6fcf9b); --line: light-dark(#dde3dc, #303a34); --panel: light-dark(#fff, #1a211d) }
body { max-inline-size: 52rem; margin: 2.5rem auto; padding: 0 1.25rem; font: 1rem/1.6 system-ui, sans-serif;
  color: var(--ink); background: light-dark(#f8faf7, #101512) }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.2rem; margin-block: 2.5rem .5rem }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem }
code, pre { font: .875rem/1.5 ui-monospace, Menlo, monospace; overflow-wrap: anywhere }
pre { padding: .75rem 1rem; border-radius: .5rem; white-space: pre-wrap; background: light-dark(#eef2ec, #0b0f0d) }
a { color: var(--link) } li { margin-block: .25rem } .subtle { color: var(--subtle) }
details { margin-block: .5rem; border: 1px solid var(--line); border-radius: .75rem; background: var(--panel) }
summary { padding: .75rem 1rem; cursor: pointer } details > div { padding: 0 1rem 1rem }
.method { display: inline-block; min-inline-size: 3.5em; font-weight: 700; color: var(--link) } .lock { inline-size: 1em; block-size: 1em; fill: none;
  stroke: currentColor; stroke-width: 1.5; vertical-align: -.1em } summary > .lock { float: inline-end }
table { border-collapse: collapse; inline-size: 100% }
th, td { padding: .35rem .75rem .35rem 0; text-align: start; vertical-align: top; border-block-start: 1px solid var(--line) }
th { font-weight: 400 } td { overflow-wrap: anywhere } @media (min-width: 40rem) { th { min-inline-size: 8.5rem } } td:nth-child(2) { color: var(--subtle) }
`;

const styleHash = createHash('sha256').update(STYLE).digest('base64');

/**
 * The `Content-Security-Policy` of these pages. `connect-src` is for Lighthouse, which fetches /robots.txt from the page.
 */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${styleHash}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** A whole document. `description` is for search engines and link previews; `body` is HTML. */
export const pageOf = (page: { readonly title: string; readonly description: string; readonly body: string }): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="description" content="${escapeHtml(page.description)}">
<title>${escapeHtml(page.title)} · webdist</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
${page.body}
</main>
</body>
</html>
`;

/** The HTML of one line of Markdown: `code`, links, **bold** and *emphasis*. */
export const inline = (text: string): string =>
  escapeHtml(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\[([^\]]+)\]\(([\w/.-]+)\)/g, '<a href="$2">$1</a>')
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/\*([^*]+)\*/g, '<em>$1</em>');

/** For text between tags and in quoted attributes. */
export const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
