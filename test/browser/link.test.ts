import type { Page } from 'playwright-core';
import t from 'tap';
import { claimsIn, iPhone, keepPicture, linkOf, openSite, openStage, pageWith, reaches } from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';

const LIFETIME_MS = 1_200_000;

/** Every navigation that the page requests, from the DevTools protocol. */
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

t.test('the link of the button, in Chromium', { skip: noChromium }, async (t) => {
  let aheadMs = 0;
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' }, () => Date.now() + aheadMs);
  const site = await openSite(t, stage.service, {
    '/': pageWith('account="customer 7"'),
    '/below': `${pageWith()}<style>main{padding-block-start:5000px}</style>`,
    '/away': '<!doctype html><title>Away</title>',
  });
  const browser = await openChromium(t);
  const open = async (path = '/', options = iPhone) => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(10_000);
    await page.clock.install();
    await page.goto(site.origin + path);
    return page;
  };

  for (const [size, viewport] of Object.entries({ phone: iPhone.viewport, desktop: { width: 1280, height: 800 } }))
    t.test(
      `at ${size} size a tap is one navigation of the main frame, and the next link has another nonce`,
      async (t) => {
        const page = await open('/', { ...iPhone, viewport: viewport ?? null });
        await reaches(page, 'ready');
        await keepPicture(page, `ready-${size}`);
        const first = await linkOf(page).getAttribute('href');
        t.match(first, /^marketplace-kit:\/\/install\?.*&account=customer%207/);
        const verdict = await stage.sandbox.device({ installUrl: first ?? '', pageUrl: 'https://example.com/' });
        t.ok(verdict.accepted, JSON.stringify(verdict.checks.filter(({ ok }) => !ok)));

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
        t.not(claimsIn(await linkOf(page).getAttribute('href')).nonce, claimsIn(first).nonce);
        await keepPicture(page, `tapped-${size}`);
        await page.context().close();
      },
    );

  t.test('the keyboard does what a tap does', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    const href = await linkOf(page).getAttribute('href');
    const navigations = await watchNavigations(page);
    await page.keyboard.press('Tab');
    t.equal(await page.evaluate(() => document.activeElement?.localName), 'install-button');
    const fetchedAgain = page.waitForResponse((answer) => answer.url().endsWith('/install-token'));
    await page.keyboard.press('Enter');
    await fetchedAgain;
    t.strictSame(
      navigations.map(({ url }) => url),
      [href],
    );
    t.equal(await page.evaluate(() => document.activeElement?.localName), 'install-button', 'and keeps the focus');
    await page.context().close();
  });

  t.test('the cookie makes the second install a redownload, one token lifetime after the first', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    t.equal(claimsIn(await linkOf(page).getAttribute('href')).dtype, 'download');
    const reported = page.waitForResponse((answer) => answer.url().endsWith('/installs'));
    await linkOf(page).tap();
    await reported;
    aheadMs += LIFETIME_MS + 1000;
    await page.reload();
    await reaches(page, 'ready');
    t.equal(claimsIn(await linkOf(page).getAttribute('href')).dtype, 'redownload');
    await page.context().close();
    const other = await open();
    await reaches(other, 'ready');
    t.equal(claimsIn(await linkOf(other).getAttribute('href')).dtype, 'download', 'but not of another device');
    await other.context().close();
  });

  t.test('nothing is requested until the button is near the viewport', async (t) => {
    const page = await open('/below');
    await reaches(page, 'loading');
    const before = site.asked.filter((path) => path === '/install-token').length;
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    t.equal(site.asked.filter((path) => path === '/install-token').length, before);
    await page.evaluate(() => scrollTo(0, 5000));
    await reaches(page, 'ready');
    await page.context().close();
  });

  t.test('it is renewed well before it expires', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    const first = await linkOf(page).getAttribute('href');
    const renewed = page.waitForResponse((answer) => answer.url().endsWith('/install-token'));
    await page.clock.fastForward(LIFETIME_MS * 0.75);
    await renewed;
    await page.waitForFunction((old) => document.querySelector('install-button')?.installUrl !== old, first ?? '');
    t.not(claimsIn(await linkOf(page).getAttribute('href')).nonce, claimsIn(first).nonce);
    await page.context().close();
  });

  t.test('a clock that is wrong by a day changes nothing', async (t) => {
    const page = await open();
    await page.clock.setSystemTime(Date.now() + 86_400_000);
    await page.reload();
    await reaches(page, 'ready');
    const asked = site.asked.length;
    await page.clock.runFor(60_000);
    t.equal(site.asked.length, asked);
    t.ok(await linkOf(page).getAttribute('href'));
    await page.context().close();
  });

  t.test('asleep past its expiry, the link is gone, and a new one is requested', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    const first = await linkOf(page).getAttribute('href');
    site.instead = { status: 503, headers: { 'retry-after': '5' } };
    await page.clock.fastForward(LIFETIME_MS * 3);
    await reaches(page, 'error', 'http_error');
    t.equal(await linkOf(page).getAttribute('href'), null, 'no stale link while the service fails');
    t.ok(await linkOf(page).isHidden(), 'trying again is offered in its place');
    site.instead = undefined;
    await page.clock.fastForward(10_000);
    await reaches(page, 'ready');
    t.not(await linkOf(page).getAttribute('href'), first);
    await page.context().close();
  });

  t.test('a tap on an expired link is stopped even before any timer has run', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    await page.evaluate((ms) => {
      const now = Date.now();
      Date.now = () => now + ms;
    }, LIFETIME_MS * 3);
    const navigations = await watchNavigations(page);
    await linkOf(page).tap();
    await reaches(page, 'ready');
    t.strictSame(navigations, []);
    await page.context().close();
  });

  t.test('a return from the back-forward cache shows no stale link', async (t) => {
    const page = await (await browser.newContext(iPhone)).newPage();
    await page.addInitScript(() => {
      const { now } = Date;
      Date.now = () => now() + Number(localStorage.getItem('aheadMs') ?? 0);
    });
    await page.goto(`${site.origin}/`);
    await reaches(page, 'ready');
    const first = await linkOf(page).getAttribute('href');
    const returned = page.evaluate(
      () =>
        void addEventListener('pageshow', ({ persisted }) => {
          const { installUrl } = document.querySelector('install-button') ?? {};
          document.title = JSON.stringify({ persisted, installUrl });
        }),
    );
    await returned;
    await page.goto(`${site.origin}/away`);
    await page.evaluate((ms) => localStorage.setItem('aheadMs', String(ms)), LIFETIME_MS * 2);
    await page.goBack({ waitUntil: 'commit' });
    await page.waitForFunction(() => document.title.startsWith('{'));
    t.strictSame(JSON.parse(await page.title()), { persisted: true }, 'the page came from the cache, without the link');
    await reaches(page, 'ready');
    t.not(await linkOf(page).getAttribute('href'), first);
    await page.context().close();
  });

  t.test('two tabs open for two hours send a few requests', async (t) => {
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

  t.test('a hidden page lets its link expire and requests none until it is visible again', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    const turn = (visibility: string) =>
      page.evaluate((value) => {
        Object.defineProperty(document, 'visibilityState', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, visibility);
    await turn('hidden');
    const asked = site.asked.length;
    await page.clock.fastForward(60 * 60_000);
    await reaches(page, 'loading');
    t.equal(await linkOf(page).getAttribute('href'), null);
    t.equal(site.asked.length, asked);
    await turn('visible');
    await reaches(page, 'ready');
    await page.context().close();
  });
});
