/**
 * Lighthouse rates the demo page, `/docs` and a problem's page: at least 95 in every category. Performance is only printed, because
 * it depends on what else the machine does.
 */

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { noChromium } from '../../harness/chromium.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { startProcess } from '../../harness/process.ts';
import { until } from '../../harness/until.ts';

const LIGHTHOUSE = 'lighthouse@12.2.3';
const LEAST = 95;

/** Prints the scores of the pages in its arguments, 0 to 100, as JSON. */
const script = `import lighthouse from 'lighthouse';
import { launch } from 'chrome-launcher';
const chrome = await launch({ chromePath: '/usr/bin/chromium', chromeFlags: ['--headless=new', '--no-sandbox', '--disable-gpu'] });
const scores = {};
for (const url of process.argv.slice(2)) {
  const { lhr } = await lighthouse(url, { port: chrome.port, logLevel: 'error' });
  scores[url] = Object.fromEntries(Object.values(lhr.categories).map(({ id, score }) => [id, Math.round(score * 100)]));
}
console.log(JSON.stringify(scores));
await chrome.kill();
`;

t.test('at least 95 everywhere', { skip: noChromium, timeout: 600_000 }, async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  writeFileSync(join(folder, 'rate.mjs'), script);
  const run = promisify(execFile);
  await run('npm', ['install', '--no-audit', '--no-fund', '--save-exact', LIGHTHOUSE], { cwd: folder });
  const { url, output } = await startProcess(t, { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: join(folder, 'data') });
  await until(() => output().includes('"event":"key_registered"'), 'a registered key');
  const pages = ['/', '/docs', '/problems/rate_limited'].map((path) => url.replace('127.0.0.1', 'localhost') + path);
  const { stdout } = await run(process.execPath, ['rate.mjs', ...pages], { cwd: folder });
  for (const [page, scores] of Object.entries(JSON.parse(stdout) as Record<string, Record<string, number>>))
    for (const [category, score] of Object.entries(scores)) {
      if (category === 'performance') t.comment(`${page}: ${category} ${score}`);
      else t.ok(score >= LEAST, `${page}: ${category} ${score}`);
    }
});
