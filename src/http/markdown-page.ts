/** Shows one short Markdown text as a page: headings, paragraphs, lists of links, `code`, **bold** and *emphasis*. */

import { createHash } from 'node:crypto';

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#1b2420, #e9efe9); --link: light-dark(#1f6b45, #6fcf9b) }
body { max-inline-size: 42rem; margin: 3rem auto; padding: 0 1.25rem; font: 1rem/1.6 system-ui, sans-serif;
  color: var(--ink); background: light-dark(#f8faf7, #101512) }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.15rem; margin-block-start: 2rem }
code { font: .9em ui-monospace, Menlo, monospace; overflow-wrap: anywhere } a { color: var(--link) }
li { margin-block: .25rem }
`;

const styleHash = createHash('sha256').update(STYLE).digest('base64');

/** The page loads nothing and runs no script. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** A whole HTML document. */
export const pageOf = ({ title, markdown }: { readonly title: string; readonly markdown: string }): string =>
  `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)} · webdist</title>
<style>${STYLE}</style>
<main>
${markdown.trim().split('\n\n').map(blockOf).join('\n')}
</main>
</html>
`;

function blockOf(block: string): string {
  const [, hashes, heading] = /^(#+) (.*)$/.exec(block) ?? [];
  if (hashes && heading) return `<h${hashes.length}>${inline(heading)}</h${hashes.length}>`;
  if (block.startsWith('- '))
    return `<ul>\n${block
      .split('\n')
      .map((line) => `<li>${inline(line.slice(2))}</li>`)
      .join('\n')}\n</ul>`;
  return `<p>${inline(block)}</p>`;
}

const inline = (text: string): string =>
  escapeHtml(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\[([^\]]+)\]\(([\w/.-]+)\)/g, '<a href="$2">$1</a>')
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/\*([^*]+)\*/g, '<em>$1</em>');

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
