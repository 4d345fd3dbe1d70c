/** Every document that code, tests and pages cite is in the repository, with the section or heading that is cited. */

import { existsSync, globSync, readFileSync } from 'node:fs';
import t from 'tap';

const FACTS = 'docs/apple-facts.md';
/** The copy that several repositories share, where there is one. */
const SHARED_FACTS = '../shared/apple-facts.md';

const sections = new Set(
  [...readFileSync(FACTS, 'utf8').matchAll(/^#{2,3} (\d+(?:\.\d+)?)\.? /gm)].map(([, number = '']) => number),
);
t.ok(sections.size > 50, `${sections.size} sections`);

const files = [
  ...globSync('{src,test,docker,deploy,.ci}/**/*.{ts,py,yaml,json,md,html}'),
  ...globSync('docs/**/*.md'),
  ...globSync('*.md'),
  '.ci/run',
  'Dockerfile',
  'package.json',
]
  .filter((file) => file !== FACTS && file !== 'test/citations.test.ts' && !file.includes('node_modules'))
  .sort();

/** These files are still being rewritten. */
const inProgress = /^(src|test)\/(http|registration|oauth)\/|^src\/browser\/client\.ts$/;

let count = 0;
for (const file of files) {
  // A citation may be split over two lines of a comment.
  const text = readFileSync(file, 'utf8').replace(/\n\s*(?:\*|\/\/|#) ?/g, ' ');
  for (const [path] of text.matchAll(/\bdocs\/[\w/-]+\.md\b/g)) {
    count++;
    if (!existsSync(path)) t.fail(`${file} cites ${path}, which does not exist`);
  }
  for (const [, list = ''] of text.matchAll(/\bapple-facts(?:\.md)?[\])]*\s*(§\d[^)\n;:]*)/g))
    for (const [, number = ''] of list.matchAll(/§(\d+(?:\.\d+)?)/g)) {
      count++;
      if (!sections.has(number)) t.fail(`${file} cites §${number} of ${FACTS}, which does not exist`);
    }
  if (/(?<!docs\/)\bapple-facts\b(?!\.md)/.test(text) && !file.endsWith('.md'))
    t.fail(`${file} cites the facts about Apple without their path, ${FACTS}`);
  if (inProgress.test(file)) continue;
  if (/\bcontract §/.test(text)) t.fail(`${file} cites a contract that is not in the repository`);
  if (/\bMust(?: not)? know\b/.test(text)) t.fail(`${file} repeats what the architecture test says`);
}
t.ok(count > 150, `${count} citations`);

t.test(
  'the facts about Apple are the shared ones',
  { skip: !existsSync(SHARED_FACTS) && `there is no ${SHARED_FACTS} here` },
  async (t) => {
    t.equal(readFileSync(FACTS, 'utf8'), readFileSync(SHARED_FACTS, 'utf8'));
  },
);
