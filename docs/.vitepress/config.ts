/**
 * The documentation as a static site: `npm run docs` builds it into docs/.vitepress/dist, with search, `llms.txt`, and the
 * Markdown of each page beside it. The sidebar is the index of docs/README.md.
 */

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';

const root = fileURLToPath(new URL('../..', import.meta.url));
const index = readFileSync(join(root, 'docs/README.md'), 'utf8');

export default defineConfig({
  title: 'webdist',
  description: 'Install verification tokens for iOS apps distributed from your own website',
  lang: 'en',
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  srcDir: root,
  srcExclude: ['**/node_modules/**', '{src,test,docker,deploy,.ci,dist,artifacts,.tap}/**'],
  outDir: resolve(root, 'docs/.vitepress/dist'),
  cacheDir: resolve(root, 'docs/.vitepress/cache'),
  rewrites: { 'README.md': 'index.md' },
  ignoreDeadLinks: 'localhostLinks',
  metaChunk: true,
  markdown: {
    // The anchors that GitHub gives to the headings, so that links work in both.
    anchor: {
      slugify: (text) =>
        text
          .toLowerCase()
          .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
          .replaceAll(' ', '-'),
    },
    config: (md) =>
      md.core.ruler.push('site', ({ tokens, env }) => {
        for (const token of tokens) token.children &&= forSite(token.children, env.relativePath);
      }),
  },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'First install', link: '/docs/first-install' },
      { text: 'HTTP API', link: '/docs/http-api' },
      { text: 'Settings', link: '/docs/settings' },
      { text: 'Why did the install not start?', link: '/docs/install-did-not-start' },
    ],
    sidebar: sidebarOf(),
  },
  buildEnd({ pages: built, outDir }) {
    const sources = built.map((page) => (page === 'index.md' ? 'README.md' : page)).sort();
    for (const source of sources) {
      const copy = join(outDir, source === 'README.md' ? 'index.md' : source);
      mkdirSync(dirname(copy), { recursive: true });
      copyFileSync(join(root, source), copy);
    }
    const line = (source: string) => {
      const about = index.split(`](${relative('docs', source)}) | `)[1]?.split(' |\n')[0];
      return `- [${titleOf(source)}](${source === 'README.md' ? 'index.md' : source})${about ? `: ${about}` : ''}`;
    };
    const head = '# webdist\n\n> Install verification tokens for iOS apps distributed from your own website in the EU.';
    writeFileSync(join(outDir, 'llms.txt'), `${head}\n\n## Pages\n\n${sources.map(line).join('\n')}\n`);
  },
});

/** The first heading of a page. */
const titleOf = (source: string): string => /^# (.*)$/m.exec(readFileSync(join(root, source), 'utf8'))?.[1] ?? source;

/** A section of the sidebar for each section of the index, with every page that it links to. */
function sidebarOf() {
  return index
    .split('\n## ')
    .slice(1)
    .map((section) => ({
      text: section.split('\n', 1)[0],
      collapsed: !/^(Start|How-to|Reference)/.test(section),
      items: [...section.matchAll(/\[([^\]]+)\]\(([^)#]+\.md)\)/g)].map(([, text, path]) => ({
        text: (text ?? '').replaceAll('`', ''),
        link: `/${relative(root, resolve(root, 'docs', path ?? ''))}`
          .replace(/^\/README\.md$/, '/')
          .replace(/\.md$/, ''),
      })),
    }));
}

/** What `forSite` uses of a token of markdown-it. */
type Token = {
  readonly type: string;
  attrGet(name: string): string | null;
  attrSet(name: string, value: string): void;
};

/**
 * The tokens of a text, with links as the site has them. A link to a file without a page, such as a source file, is text.
 * Code is shown as it is: VitePress would evaluate what stands between two braces.
 */
function forSite<T extends Token>(tokens: T[], page: string): T[] {
  let isText = false;
  return tokens.filter((token) => {
    if (token.type === 'code_inline') token.attrSet('v-pre', '');
    if (token.type === 'link_open') {
      const href = hrefIn(page, token.attrGet('href') ?? '');
      isText = href === undefined;
      if (href) token.attrSet('href', href);
    }
    return !(isText && /^link_/.test(token.type));
  });
}

function hrefIn(page: string, href: string): string | undefined {
  if (/^[a-z]+:|^#/.test(href)) return href;
  const [path = '', anchor] = href.split('#');
  const source = page === 'index.md' ? 'README.md' : page;
  const target = relative(root, resolve(root, dirname(source), path));
  const end = anchor ? `#${anchor}` : '';
  if (target === 'README.md') return `/${end}`;
  return /^(docs\/.*|[A-Z]+)\.md$/.test(target) && existsSync(join(root, target)) ? `/${target}${end}` : undefined;
}
