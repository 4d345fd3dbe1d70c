/** Shows one short Markdown text as a page: headings, paragraphs and lists of links. */

import { inline, pageOf } from './html.ts';

/** A whole HTML document. */
export const markdownPage = ({ title, markdown }: { readonly title: string; readonly markdown: string }): string => {
  const body = markdown.trim().split('\n\n').map(blockOf).join('\n');
  return pageOf({ title, description: `${title}: what it means, and what to do`, body });
};

function blockOf(block: string): string {
  const [, hashes, heading] = /^(#+) (.*)$/.exec(block) ?? [];
  if (hashes && heading) return `<h${hashes.length}>${inline(heading)}</h${hashes.length}>`;
  if (!block.startsWith('- ')) return `<p>${inline(block)}</p>`;
  const items = block.split('\n').map((line) => `<li>${inline(line.slice(2))}</li>`);
  return `<ul>\n${items.join('\n')}\n</ul>`;
}
