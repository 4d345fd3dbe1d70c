import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import t from 'tap';
import {
  complaintsOf,
  iPhone,
  keepPicture,
  openSite,
  openStage,
  pageWith,
  reaches,
  type Site,
} from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';

/**
 * For the sources, which a checkout serves without minifying; test/nightly/browser/package.test.ts checks that the built module has at most
 * 5 kB.
 */
const BUDGET_BYTES = 6500;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

t.test('what a visitor loads', async (t) => {
  const stage = await openStage(t);
  const get = (path: string, headers = {}) => fetch(stage.service + path, { headers });

  const zipped = await get('/install-button.js', { 'accept-encoding': 'gzip' });
  t.equal(zipped.headers.get('content-encoding'), 'gzip');
  const bytes = Number(zipped.headers.get('content-length'));
  t.ok(bytes > 1000 && bytes < BUDGET_BYTES, `${bytes} bytes gzipped`);
  const plain = await get('/install-button.js', { 'accept-encoding': 'identity' });
  t.equal(plain.headers.get('content-encoding'), null);
  const text = await plain.text();
  t.equal(await zipped.text(), text);
  t.not(zipped.headers.get('etag'), plain.headers.get('etag'));
  t.notMatch(text, /^\s*import\s[^(]/m, 'it imports nothing up front');

  t.match(Object.fromEntries(plain.headers), {
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, max-age=300',
    'access-control-allow-origin': '*',
    'cross-origin-resource-policy': 'cross-origin',
    vary: 'accept-encoding',
  });
  const again = await get('/install-button.js', {
    'accept-encoding': 'identity',
    'if-none-match': plain.headers.get('etag') ?? '',
  });
  t.equal(again.status, 304);
  for (const name of ['texts', 'qr', 'uqr', 'reports'])
    t.equal((await get(`/install-button-${name}.js`)).status, 200, name);
});

t.test('in Chromium', { skip: noChromium }, async (t) => {
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
  const site = await openSite(t, stage.service, {
    '/ready': pageWith(),
    '/unsupported': pageWith('support="elsewhere"'),
    '/error': pageWith('app="com.example.other"'),
    '/limited': pageWith(),
    '/loading': pageWith(),
  });
  const instead: Record<string, Site['instead']> = {
    limited: { status: 429, headers: { 'retry-after': '60' } },
    loading: 'no answer',
  };
  const browser = await openChromium(t);
  for (const colorScheme of ['light', 'dark'] as const)
    for (const state of ['ready', 'unsupported', 'error', ...(colorScheme === 'light' ? ['limited', 'loading'] : [])])
      await t.test(`${state}, ${colorScheme}: accessible, still and quiet`, async (t) => {
        const page = await (await browser.newContext({ ...iPhone, colorScheme })).newPage();
        const complaints = complaintsOf(page);
        const origins = new Set<string>();
        page.on('request', (request) => origins.add(new URL(request.url()).origin));
        site.instead = instead[state];
        await page.goto(`${site.origin}/${state}`);
        await reaches(page, state);
        if (state === 'unsupported') await page.locator('install-button [part=qr] path').waitFor();
        const shift = await page.evaluate(
          () =>
            new Promise<number>((done) => {
              let sum = 0;
              const add = (list: PerformanceObserverEntryList) => {
                for (const entry of list.getEntries()) sum += (entry as PerformanceEntry & { value: number }).value;
              };
              new PerformanceObserver(add).observe({ type: 'layout-shift', buffered: true });
              requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(sum))));
            }),
        );
        t.equal(shift, 0, 'no layout shift');
        await page.evaluate(axe);
        const { violations } = (await page.evaluate('axe.run()')) as AxeResults;
        t.strictSame(
          violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
          [],
        );
        t.strictSame(
          [...origins].filter((origin) => origin !== site.origin && origin !== 'null'),
          [],
          'no third party',
        );
        t.strictSame(
          complaints.filter((line) => !/status of (404|429)/.test(line) || !['error', 'limited'].includes(state)),
          [],
        );
        await keepPicture(page, `${state}-${colorScheme}`);
        await page.context().close();
      });
});
