/** The page at `/docs`: every operation, minting first, with examples that work, and its credential. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import t from 'tap';
import { violationsOf } from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

const API_KEY = 'a-key-for-trying-out';
const digest = createHash('sha256').update(API_KEY).digest('hex');

const start = async (t: import('tap').Test) => {
  const settings = { WEBDIST_MODE: 'sandbox', WEBDIST_API_KEYS: `docs:${digest}`, WEBDIST_OAUTH: 'own' };
  return startReady(t, await startSandbox(t), settings);
};

t.test('every operation of /openapi.json, minting first, with its lock', async (t) => {
  const { url } = await start(t);
  const html = await (await fetch(`${url}/docs`)).text();
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { operationId: string; security: object[] }>>;
  };
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  t.ok(operations.length > 20);
  for (const { operationId, security } of operations) {
    const part = html.split(`<details id="${operationId}">`)[1]?.split('</details>')[0] ?? '';
    const isOptional = security.some((one) => Object.keys(one).length === 0);
    const lock =
      security.length === 0 ? undefined : isOptional ? 'A credential is optional' : 'A credential is required';
    t.equal(/aria-label="([^"]+)"/.exec(part)?.[1], lock, operationId);
  }
  t.equal(/<details id="(\w+)"/.exec(html)?.[1], 'issueInstallToken', 'minting comes first');
  for (const [, code = ''] of html.matchAll(/href="problems\/(\w+)"/g))
    t.equal((await fetch(`${url}/problems/${code}`)).status, 200, code);
  t.notMatch(html, /[`]|undefined|\[object/, 'no Markdown and no hole is left');
});

t.test('every example works when it is pasted into a shell', async (t) => {
  const { url } = await start(t);
  const html = await (await fetch(`${url}/docs`)).text();
  const examples = [...html.matchAll(/<pre>([\s\S]*?)<\/pre>/g)].map(([, text = '']) =>
    text.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'),
  );
  t.ok(examples.length > 15, `${examples.length} examples`);
  for (const example of examples) {
    const command = example
      .replace(/http:\/\/localhost:\d+/, url)
      .replace('curl -s', "curl -s -o /dev/null -w '%{http_code}'");
    const env = { ...process.env, WEBDIST_API_KEY: API_KEY };
    const { stdout: status } = await promisify(execFile)('bash', ['-c', command], { env });
    t.match(status, /^20[04]$/, example);
  }
});

t.test('in a browser: no complaint, and axe finds nothing', { skip: noChromium }, async (t) => {
  const { url } = await start(t);
  const browser = await openChromium(t);
  for (const [path, colorScheme] of [
    ['/docs', 'light'],
    ['/problems/rate_limited', 'dark'],
  ] as const) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 390, height: 800 }, bypassCSP: false });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    await page.goto(url + path);
    await page.locator('details').evaluateAll((all) => {
      for (const one of all) one.setAttribute('open', '');
    });
    t.strictSame(await violationsOf(page), [], `${path}, ${colorScheme}`);
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, `${path}: nothing sticks out`);
    t.strictSame(complaints, []);
    await context.close();
  }
});
