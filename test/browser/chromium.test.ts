/**
 * What only Chromium can show: the navigations that a page requests (DevTools protocol), a network that is down, tabs that
 * share a clock, and a browser without scripts. Everything else is in test/nightly/browser/visits.test.ts, for three engines.
 */

import type { Page } from 'playwright-core';
import t from 'tap';
import { claimsIn, iPhone, keepPicture, linkOf, openSite, openStage, pageWith, reaches } from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';

/** Every navigation that the page requests. */
async function watchNavigations(page: Page) {
  const devTools = await page.context().newCDPSession(page);
  await devTools.send('Page.enable');
  const { frameTree } = await devTools.send('Page.getFrameTree');
  const seen: { url: string; reason: string; isMainFrame: boolean }[] = [];
  devTools.on('Page.frameRequestedNavigation', ({ url, reason, frameId }) =>
    seen.push({ url, reason, isMainFrame: frameId === frameTree.frame.id }),
  );
  return seen;
}

t.test('only in Chromium', { skip: noChromium }, async (t) => {
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
  const site = await openSite(t, stage.service, {
    '/': pageWith('account="customer 7"'),
    '/fallback': pageWith('', { inside: '<a href="https://example.com/help">How to install</a>' }),
  });
  const browser = await openChromium(t);
  const open = async (options = iPhone) => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(10_000);
    await page.clock.install();
    await page.goto(`${site.origin}/`);
    await reaches(page, 'ready');
    return page;
  };

  for (const [size, viewport] of Object.entries({ phone: iPhone.viewport, desktop: { width: 1280, height: 800 } }))
    await t.test(`at ${size} size a tap is one navigation of the main frame`, async (t) => {
      const page = await open({ ...iPhone, viewport: viewport ?? null });
      await keepPicture(page, `ready-${size}`);
      const first = await linkOf(page).getAttribute('href');
      const navigations = await watchNavigations(page);
      const tapped = page.evaluate(
        () =>
          new Promise((done) =>
            addEventListener('click', (event) => done(event.isTrusted && navigator.userActivation.isActive)),
          ),
      );
      const reported = page.waitForResponse((answer) => answer.url().endsWith('/installs'));
      await linkOf(page).tap();
      t.equal(await tapped, true, 'with user activation');
      t.equal((await reported).status(), 204, 'the tap is reported');
      await page.waitForFunction(
        (old) => ![null, undefined, old].includes(document.querySelector('install-button')?.installUrl),
        first ?? '',
      );
      t.strictSame(navigations, [{ url: first, reason: 'anchorClick', isMainFrame: true }]);
      await keepPicture(page, `tapped-${size}`);
      await page.context().close();
    });

  await t.test('a key press is one navigation, too', async (t) => {
    const page = await open();
    const href = await linkOf(page).getAttribute('href');
    const navigations = await watchNavigations(page);
    await page.keyboard.press('Tab');
    const fetchedAgain = page.waitForResponse((answer) => answer.url().endsWith('/install-token'));
    await page.keyboard.press('Enter');
    await fetchedAgain;
    t.strictSame(
      navigations.map(({ url }) => url),
      [href],
    );
    await page.context().close();
  });

  await t.test('a tap on an expired link is not a navigation', async (t) => {
    const page = await open();
    const navigations = await watchNavigations(page);
    await page.evaluate(() => {
      const now = Date.now();
      Date.now = () => now + 3_600_000;
    });
    await linkOf(page).tap();
    await reaches(page, 'ready');
    t.strictSame(navigations, []);
    await page.context().close();
  });

  await t.test('two tabs open for two hours send a few requests', async (t) => {
    const context = await browser.newContext(iPhone);
    const pages = [await context.newPage(), await context.newPage()];
    await context.clock.install();
    const before = site.asked.length;
    for (const page of pages) {
      await page.goto(`${site.origin}/`);
      await reaches(page, 'ready');
    }
    for (let minute = 0; minute < 120; minute += 10) {
      await context.clock.fastForward(10 * 60_000);
      for (const page of pages) await reaches(page, 'ready');
    }
    const asked = site.asked.slice(before).filter((path) => path === '/install-token');
    t.ok(asked.length >= 12 && asked.length <= 20, `${asked.length} requests`);
    await context.close();
  });

  await t.test('the network goes down, and comes back', async (t) => {
    const page = await open();
    await page.context().setOffline(true);
    await page.clock.fastForward(3_600_000);
    await reaches(page, 'error', 'offline');
    t.equal(await linkOf(page).getAttribute('href'), null);
    await keepPicture(page, 'offline');
    await page.context().setOffline(false);
    await reaches(page, 'ready');
    await page.context().close();
  });

  await t.test('without scripts, the content between the tags is shown', async (t) => {
    const page = await (await browser.newContext({ ...iPhone, javaScriptEnabled: false })).newPage();
    await page.goto(`${site.origin}/fallback`);
    t.ok(await page.getByText('How to install').isVisible());
    await page.context().close();
    const scripted = await (await browser.newContext(iPhone)).newPage();
    await scripted.goto(`${site.origin}/fallback`);
    await reaches(scripted, 'ready');
    t.notOk(await scripted.getByText('How to install').isVisible());
    t.ok(claimsIn(await linkOf(scripted).getAttribute('href')).nonce);
    await scripted.context().close();
  });
});
