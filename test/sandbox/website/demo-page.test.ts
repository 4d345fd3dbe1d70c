import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { claimsIn, complaintsOf, iPhone, keepPicture, linkOf, reaches, violationsOf } from '../../harness/browser.ts';
import { noChromium, openChromium } from '../../harness/chromium.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { startProcess } from '../../harness/process.ts';
import { until } from '../../harness/until.ts';

/** The service as `npm start` starts it, with only its port and data folder configured. */
async function startService(t: Test) {
  const { url, output } = await startProcess(t, { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: temporaryFolder(t) });
  await until(() => output().includes('"event":"key_registered"'), 'a registered key');
  return { origin: url.replace('127.0.0.1', 'localhost') };
}

t.test('the demo page', { skip: noChromium }, async (t) => {
  const service = await startService(t);
  const browser = await openChromium(t);
  const open = async (options = {}) => {
    const page = await (await browser.newContext({ reducedMotion: 'reduce', ...options })).newPage();
    page.setDefaultTimeout(60_000);
    const complaints = complaintsOf(page);
    await page.goto(`${service.origin}/`);
    await reaches(page, 'ready');
    return { page, complaints };
  };
  const install = (page: Page) => page.locator('#install [part=link]');
  const outcome = async (page: Page) => {
    await install(page).click();
    const last = page.locator('#journey > li:last-child:is(.done, .failed)');
    await last.waitFor();
    return last.getAttribute('class');
  };

  for (const [size, options] of Object.entries({ phone: iPhone, desktop: { viewport: { width: 1280, height: 900 } } }))
    for (const colorScheme of ['light', 'dark'] as const)
      await t.test(`${size}, ${colorScheme}: looks right, and the simulated device accepts the tap`, async (t) => {
        const { page, complaints } = await open({ ...options, colorScheme });
        const outside = await page.evaluate(() =>
          [...document.querySelectorAll('main *')]
            .filter((inner) => {
              const [box, around] = [inner.getBoundingClientRect(), inner.parentElement?.getBoundingClientRect()];
              return box.width > 1 && !inner.closest('svg') && box.right > (around?.right ?? 0) + 1;
            })
            .map(({ outerHTML }) => outerHTML.slice(0, 80)),
        );
        t.strictSame(outside, [], 'nothing sticks out');
        t.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
        t.match(await page.locator('.banner').textContent(), /^SANDBOX/);
        const first = await linkOf(page).first().getAttribute('href');
        t.equal(await page.locator('#claims tr').count(), 12, 'every claim is explained');
        t.notMatch(await page.locator('#claims td:last-child').allTextContents(), ['']);
        t.equal(await outcome(page), 'done');
        t.equal(await page.locator('#journey .done').count(), 6);
        t.equal(await page.locator('#stage-title').textContent(), 'Trail Map is installed');
        await page.waitForFunction((old) => document.querySelector('install-button')?.installUrl !== old, first ?? '');
        t.strictSame(await violationsOf(page), []);
        t.strictSame(complaints, []);
        await keepPicture(page, `demo-${size}-${colorScheme}`);
        await page.context().close();
      });

  await t.test('the layout does not shift while it loads', async (t) => {
    const { page } = await open(iPhone);
    const shift = await page.evaluate(
      () =>
        new Promise<number>((done) => {
          let sum = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) sum += (entry as PerformanceEntry & { value: number }).value;
          }).observe({ type: 'layout-shift', buffered: true });
          requestAnimationFrame(() => setTimeout(() => done(sum)));
        }),
    );
    t.ok(shift < 0.01, `layout shift ${shift}`);
    await page.context().close();
  });

  const refused = { late: 'exp', twice: 'nonce', elsewhere: 'package-host', changed: 'signature' };
  for (const [scenario, check] of Object.entries(refused))
    await t.test(`${scenario}: refused, and the failing check says why`, async (t) => {
      const { page } = await open({ viewport: { width: 1280, height: 900 } });
      await page.locator(`input[value=${scenario}]`).check();
      t.equal(await outcome(page), 'failed');
      t.ok((await page.locator('#journey .refused code').allTextContents()).includes(check));
      t.equal(await page.locator('#stage-title').textContent(), 'Nothing was installed');
      t.match(await page.locator('#stage-text').textContent(), /^Refused: .+\.$/);
      await page.locator('#back').click();
      t.equal(await page.locator('#stage').isVisible(), false, 'the page can be tapped again');
      await keepPicture(page, `demo-${scenario}`);
      await page.context().close();
    });

  await t.test('tokens are signed while Apple is down', async (t) => {
    const { page } = await open();
    await page.locator('#apple-down').check();
    await page.locator('#apple-down:enabled').waitFor();
    await page.getByText('webdist is ready to sign').waitFor();
    await reaches(page, 'ready');
    t.equal(await outcome(page), 'done');
    await page.locator('#apple-down').uncheck();
    const faults = await page.request.get(`${service.origin}/_sandbox/faults`);
    await page.waitForFunction(async () => (await (await fetch('/_sandbox/faults')).json()).length === 0);
    t.equal(faults.status(), 200);
    await page.context().close();
  });

  await t.test('the service treats another iPhone as another device', async (t) => {
    const { page } = await open();
    const cookie = async () => (await page.context().cookies()).find(({ name }) => name === 'webdist_device')?.value;
    const [first, href] = [await cookie(), await linkOf(page).first().getAttribute('href')];
    await page.locator('#other-device').click();
    await page.waitForFunction(
      (old) => ![undefined, old].includes(document.querySelector('install-button')?.installUrl),
      href ?? '',
    );
    t.ok(first);
    t.not(await cookie(), first);
    t.equal(claimsIn(await linkOf(page).first().getAttribute('href')).dtype, 'download');
    await page.context().close();
  });

  await t.test('beyond the rate limit it says when to retry, and the button waits', async (t) => {
    const { page } = await open();
    await outcome(page);
    await page.locator('#too-often').click();
    await page.locator('#install[state=limited]').waitFor({ state: 'attached' });
    t.match(await page.locator('#notice').textContent(), /\d+ of 70 refused; retry in \d+ s/);
    t.equal(await page.locator('#journey .done').count(), 0, 'no step of the previous tap is left');
    t.match(await page.locator('#journey .failed').allTextContents(), [/rate_limited/]);
    await keepPicture(page, 'demo-limited');
    await page.context().close();
  });

  await t.test('a link without a token cannot be aged', async (t) => {
    const answer = await fetch(`${service.origin}/_sandbox/device`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ installUrl: 'marketplace-kit://install?installVerificationToken=a.b.c', ageSeconds: 60 }),
    });
    t.equal(answer.status, 400);
    t.match(await answer.json(), { code: 'invalid_request', detail: /^installUrl: / });
  });
});
