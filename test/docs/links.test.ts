/**
 * Every relative link and anchor in the Markdown of this repository leads somewhere, every file that it names exists, and
 * the index lists every page.
 */

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';

const pages = [...globSync('*.md'), ...globSync('{docs,deploy,docker}/**/*.md')].sort();

/** Without fenced blocks and code spans, which may hold what looks like a link. */
const prose = (page: string) =>
  readFileSync(page, 'utf8')
    .replace(/^(```|~~~)[\s\S]*?^\1/gm, '')
    .replace(/`[^`\n]*`/g, (code) => code.replace(/[[\]()]/g, '_'));

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of readFileSync(page, 'utf8')
    .replace(/^(```|~~~)[\s\S]*?^\1/gm, '')
    .matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '');
    const anchor = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n += 1) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  for (const [, id = ''] of readFileSync(page, 'utf8').matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}

let count = 0;
for (const page of pages)
  for (const [, target = ''] of prose(page).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)) {
    if (/^[a-z][a-z+.-]*:/i.test(target)) continue;
    count += 1;
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? page : normalize(join(dirname(page), path));
    if (!existsSync(file)) t.fail(`${page}: ${target} does not exist`);
    else if (anchor !== undefined && !anchorsOf(file).has(anchor)) t.fail(`${page}: ${target} has no such heading`);
  }
t.ok(count > 100, `${count} relative links`);

/** Files named in code spans, such as `src/errors.ts` or `src/doctor/*-checks.ts`; NAME stands for one to be written. */
for (const page of pages.filter((one) => !one.endsWith('apple-facts.md')))
  for (const [, path = ''] of readFileSync(page, 'utf8').matchAll(/`((?:src|test|docs|docker|deploy)\/[\w.*/-]+)`/g))
    if (!path.includes('NAME')) t.ok(globSync(path).length > 0, `${page}: ${path} exists`);

// So every page can be reached in two clicks.
t.match(readFileSync('README.md', 'utf8'), '](docs/README.md)', 'the README leads to the index');
const index = readFileSync('docs/README.md', 'utf8');
for (const page of globSync('docs/**/*.md').sort()) {
  if (page === 'docs/README.md') continue;
  t.ok(index.includes(`](${page.replace('docs/', '')})`), `docs/README.md lists ${page}`);
}
