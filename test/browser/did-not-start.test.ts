/**
 * docs/install-did-not-start.md names every case of MarketplaceKitError, and docs/problems.md has every code that the
 * button can have.
 */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { problemGuides } from '../../src/http/problem-guide.ts';

const root = new URL('../..', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

t.test('the page has a cause and a fix for every case of MarketplaceKitError', async (t) => {
  const facts = read('docs/apple-facts.md').split('### 1.7 ')[1]?.split('\n## ')[0] ?? '';
  const cases = [...facts.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)/g)].map(([, name = '']) => name),
  );
  t.ok(cases.length > 20, `${cases.length} cases`);
  const sections = read('docs/install-did-not-start.md').split('\n### ').slice(1);
  for (const section of sections) t.match(section, /^[\w-]+\n\n.+\n\n\*\*Fix:\*\* .+\n/, section.slice(0, 40));
  const names = sections.map((section) => section.split('\n')[0]);
  for (const name of cases) t.ok(names.includes(name), name);
  t.equal(new Set(names.map((name) => name?.toLowerCase())).size, names.length, 'every anchor is its own');
});

t.test('every code that the button can have is explained', async (t) => {
  const reasons =
    /type Reason = ([^;]+);/.exec(read('src/browser/install-button-support.ts'))?.[1]?.match(/[\w-]+/g) ?? [];
  const link = read('src/browser/install-button-link.ts');
  const own = [...link.matchAll(/#fail\(\d+, '(\w+)'/g)].map(([, code]) => code ?? '');
  t.strictSame([reasons.length, own.length], [5, 2]);
  for (const code of [...reasons, ...own, 'offline', 'http_error']) t.ok(problemGuides.has(code), code);
});
