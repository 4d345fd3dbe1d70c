/** `npm run docs` builds the whole documentation, with search, `llms.txt`, and the Markdown beside each page. */

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const site = 'docs/.vitepress/dist';

t.test('npm run docs', { timeout: 600_000 }, async (t) => {
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'docs'], { encoding: 'utf8' });
  t.equal(status, 0, `${stdout}\n${stderr}`);

  const llms = readFileSync(join(site, 'llms.txt'), 'utf8');
  const pages = globSync('docs/**/*.md', { exclude: ['docs/.vitepress/**'] });
  t.ok(pages.length > 50, `${pages.length} pages`);
  for (const page of pages) {
    t.equal(readFileSync(join(site, page), 'utf8'), readFileSync(page, 'utf8'), `${page} is beside its page`);
    t.match(llms, `](${page})`, `llms.txt has ${page}`);
  }
  const fileOf = (path: string) =>
    [path, `${path}.html`, `${path}index.html`]
      .map((one) => join(site, one))
      .find((one) => /\.\w+$/.test(one) && existsSync(one));
  let count = 0;
  for (const file of globSync(`${site}/**/*.html`))
    for (const [, path = '', anchor] of readFileSync(file, 'utf8').matchAll(
      /<a [^>]*href="(\/[^"#]*)(?:#([^"]+))?"/g,
    )) {
      count += 1;
      const target = fileOf(path);
      if (!target) t.fail(`${file}: ${path} does not exist`);
      else if (anchor && !readFileSync(target, 'utf8').includes(`id="${anchor}"`))
        t.fail(`${file}: ${path} has no #${anchor}`);
    }
  t.ok(count > 1000, `${count} links`);

  const [index = ''] = globSync(`${site}/assets/chunks/@localSearchIndex*.js`);
  t.ok(readFileSync(index, 'utf8').includes('/docs/problems.html#rate_limited'), 'the search finds a section');
});
