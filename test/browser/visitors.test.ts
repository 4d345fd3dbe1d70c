import t from 'tap';
import {
  claimsIn,
  complaintsOf,
  iPhone,
  keepPicture,
  linkOf,
  openSite,
  openStage,
  pageWith,
  reaches,
} from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';
import { visitors } from './user-agents.ts';

t.test('who can install', { skip: noChromium }, async (t) => {
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
  const site = await openSite(t, stage.service, {
    '/': pageWith(),
    '/fallback': pageWith('', { inside: '<a href="https://example.com/help">How to install</a>' }),
    '/overridden': pageWith('support="yes" text-install="Get Trail Map"'),
    '/old': pageWith('support="outdated"'),
    '/framed': '<!doctype html><title>Around</title><iframe src="/" title="Trail Map"></iframe>',
    '/de': pageWith('', { lang: 'de-AT' }),
    '/xx': pageWith('', { lang: 'ja' }),
    '/rtl': pageWith('dir="rtl"', { lang: 'ar' }),
  });
  const browser = await openChromium(t);
  const open = async (path = '/', options = iPhone) => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(10_000);
    await page.goto(site.origin + path);
    return page;
  };
  const messageOf = (page: Awaited<ReturnType<typeof open>>) => page.locator('install-button [part=message]');

  t.test('told by the browser', async (t) => {
    for (const [name, userAgent, code, screen] of visitors) {
      const context = await browser.newContext({ ...iPhone, userAgent, ...(screen && { viewport: screen, screen }) });
      if (!userAgent.includes('Android'))
        await context.addInitScript(() => Object.defineProperty(navigator, 'maxTouchPoints', { value: 5 }));
      const page = await context.newPage();
      await page.goto(`${site.origin}/`);
      await page.waitForFunction(() =>
        ['ready', 'unsupported'].includes(document.querySelector('install-button')?.getAttribute('state') ?? ''),
      );
      t.equal(await page.locator('install-button').getAttribute('code'), code ?? '', name);
      if (code) await keepPicture(page, `unsupported-${code}`);
      await context.close();
    }
  });

  t.test('a desktop gets a QR code of the page, drawn by code that no device loads', async (t) => {
    const page = await open('/', { viewport: { width: 1280, height: 800 } });
    const complaints = complaintsOf(page);
    await reaches(page, 'unsupported', 'elsewhere');
    const picture = page.locator('install-button [part=qr] path');
    await picture.waitFor();
    t.match(await picture.getAttribute('d'), /^M0 0h1v1h-1z/);
    t.equal(await messageOf(page).textContent(), 'Open this page on your iPhone or iPad.');
    t.notOk(await page.locator('install-button [part=link]').isVisible());
    t.ok(site.asked.includes('/install-button-uqr.js'));
    t.strictSame(complaints, []);
    await keepPicture(page, 'unsupported-desktop');
    await page.context().close();
    site.asked.length = 0;
    const mobile = await open();
    await reaches(mobile, 'ready');
    t.strictSame(site.asked, ['/install-button.js', '/install-token']);
    await mobile.context().close();
  });

  t.test('overridden by attributes', async (t) => {
    const desktop = await open('/overridden', { viewport: { width: 1280, height: 800 } });
    await reaches(desktop, 'ready');
    t.equal(await linkOf(desktop).textContent(), 'Get Trail Map');
    await desktop.context().close();
    const mobile = await open('/old');
    await reaches(mobile, 'unsupported', 'outdated');
    await mobile.context().close();
  });

  t.test('a frame is told to open the page by itself', async (t) => {
    const page = await open('/framed');
    const frame = page.frameLocator('iframe');
    await frame.locator('install-button[state=unsupported][code=frame]').waitFor();
    const link = frame.locator('install-button [part=message] a');
    t.equal(await link.getAttribute('href'), `${site.origin}/`);
    t.equal(await link.getAttribute('target'), '_blank');
    await page.context().close();
  });

  t.test('without scripts, the content between the tags is shown', async (t) => {
    const page = await open('/fallback', { ...iPhone, javaScriptEnabled: false });
    t.ok(await page.getByText('How to install').isVisible());
    await page.context().close();
    const scripted = await open('/fallback');
    await reaches(scripted, 'ready');
    t.notOk(await scripted.getByText('How to install').isVisible());
    t.ok(claimsIn(await linkOf(scripted).getAttribute('href')).nonce);
    await scripted.context().close();
  });

  t.test('in the language of the page, else in English', async () => {
    for (const [path, text] of Object.entries({ '/de': 'Installieren', '/xx': 'Install' })) {
      const page = await open(path);
      await reaches(page, 'ready');
      await page.getByRole('link', { name: text, exact: true }).waitFor();
      await page.context().close();
    }
  });

  t.test('in a right-to-left language, nothing overflows', async (t) => {
    const page = await open('/rtl');
    await reaches(page, 'ready');
    const { inner, outer } = await page.evaluate(() => {
      const button = document.querySelector('install-button');
      const link = button?.shadowRoot?.querySelector('a');
      const edges = (element?: Element | null) => element?.getBoundingClientRect().toJSON();
      return { inner: edges(link), outer: edges(button) };
    });
    t.ok(inner.left >= outer.left && inner.right <= outer.right, JSON.stringify({ inner, outer }));
    t.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    await page.context().close();
  });
});
