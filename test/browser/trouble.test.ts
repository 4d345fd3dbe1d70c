import t from 'tap';
import { iPhone, keepPicture, linkOf, openSite, openStage, pageWith, reaches } from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';

t.test('the button when the service does not answer as it should', { skip: noChromium }, async (t) => {
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
  const site = await openSite(t, stage.service, { '/': pageWith(), '/unknown': pageWith('app="com.example.other"') });
  const browser = await openChromium(t);
  const open = async (path = '/') => {
    const page = await (await browser.newContext(iPhone)).newPage();
    page.setDefaultTimeout(10_000);
    // The page's clock advances only when a test advances it.
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 60_000);
    await page.goto(site.origin + path);
    return page;
  };
  const retryOf = (page: Awaited<ReturnType<typeof open>>) => page.locator('install-button [part=retry]');
  const askedTokens = () => site.asked.filter((path) => path === '/install-token').length;
  t.afterEach(() => {
    site.instead = undefined;
  });

  t.test('over the rate limit: a message, a wait as long as Retry-After, and then the link', async (t) => {
    site.instead = { status: 429, headers: { 'retry-after': '30' } };
    const page = await open();
    await reaches(page, 'limited');
    await keepPicture(page, 'limited');
    t.equal(
      await page.locator('install-button [part=message]').textContent(),
      'Too many attempts. Please wait a moment.',
    );
    t.equal(
      await retryOf(page).getAttribute('aria-disabled'),
      'true',
      'trying again is offered, but not before the time',
    );
    site.instead = undefined;
    const before = askedTokens();
    await retryOf(page).tap({ force: true });
    await page.clock.runFor(29_000);
    t.equal(askedTokens(), before, 'nothing asked meanwhile');
    await page.clock.runFor(3_000);
    await reaches(page, 'ready');
    t.equal(askedTokens(), before + 1);
    await page.context().close();
  });

  t.test('the real limit of the service', async (t) => {
    const strict = await openStage(t, { WEBDIST_RATE_LIMIT: '1' });
    const other = await openSite(t, strict.service, { '/': pageWith() });
    const page = await (await browser.newContext(iPhone)).newPage();
    await page.goto(`${other.origin}/`);
    await reaches(page, 'ready');
    const help = page.evaluate(
      () =>
        new Promise((done) =>
          addEventListener('install-state', ({ detail }: CustomEventInit) => detail.code && done(detail.help)),
        ),
    );
    // The first request counted for the address; the next one is the first of this device.
    for (const state of ['loading', 'ready', 'loading', 'limited']) {
      if (state === 'loading') await page.evaluate(() => document.querySelector('install-button')?.refresh());
      else await reaches(page, state);
    }
    t.equal(await page.locator('install-button').getAttribute('code'), 'rate_limited');
    t.equal(await help, 'docs/install-did-not-start.md#rate_limited', 'the event points to what helps');
    await page.context().close();
  });

  t.test('a service that cannot sign: it retries after Retry-After; the current link stays meanwhile', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    const href = await linkOf(page).getAttribute('href');
    site.instead = { status: 503, headers: { 'retry-after': '60' } };
    const failed = page.waitForResponse((answer) => answer.status() === 503);
    await page.clock.fastForward(900_000);
    await failed;
    t.equal(await linkOf(page).getAttribute('href'), href, 'still good for five minutes');
    await page.clock.fastForward(250_000);
    await reaches(page, 'error', 'http_error');
    t.equal(await linkOf(page).getAttribute('href'), null);
    await keepPicture(page, 'error');
    await page.context().close();
  });

  t.test('the service is down: it backs off, and retries at once on request', async (t) => {
    site.instead = 'hang up';
    const page = await open();
    await reaches(page, 'error', 'unreachable');
    let requests = 0;
    page.on('request', () => requests++);
    for (const seconds of [1, 2, 4, 8]) {
      requests = 0;
      await page.clock.runFor(seconds * 900);
      t.equal(requests, 0, `none within ${seconds} s`);
      const failed = page.waitForEvent('requestfailed');
      await page.clock.runFor(seconds * 1200);
      await failed;
      await page.evaluate(() => undefined); // the page got the event too
    }
    t.equal(await linkOf(page).getAttribute('href'), null);
    site.instead = undefined;
    await retryOf(page).tap();
    await reaches(page, 'ready');
    t.ok(await retryOf(page).isHidden());
    t.equal(await page.evaluate(() => document.activeElement?.localName), 'install-button', 'the focus is on the link');
    await page.context().close();
  });

  t.test('an error that waiting cannot fix is not retried automatically', async (t) => {
    const page = await open('/unknown');
    await reaches(page, 'error', 'unknown_app');
    const before = askedTokens();
    await page.clock.runFor(3_600_000);
    t.equal(askedTokens(), before);
    t.equal(await retryOf(page).getAttribute('aria-disabled'), 'false');
    await page.context().close();
  });

  t.test('offline and online again', async (t) => {
    const page = await open();
    await reaches(page, 'ready');
    await page.context().setOffline(true);
    await page.clock.fastForward(3_600_000);
    await reaches(page, 'error', 'offline');
    t.equal(await linkOf(page).getAttribute('href'), null);
    await keepPicture(page, 'offline');
    await page.context().setOffline(false);
    await reaches(page, 'ready');
    await page.context().close();
  });

  t.test('while it waits', async (t) => {
    const page = await open();
    await page.route('**/install-token', () => undefined);
    await page.reload();
    await reaches(page, 'loading');
    await keepPicture(page, 'loading');
    t.equal(await linkOf(page).getAttribute('aria-disabled'), 'true');
    t.equal(await page.locator('install-button [part=message]').textContent(), 'Getting ready…');
    await page.context().close();
  });
});
