/** Visits in three engines. What only Chromium can show is in chromium.test.ts. */

import t from 'tap';
import { visitors } from '../../browser/user-agents.ts';
import { claimsIn, openSite, openStage } from '../../harness/browser.ts';
import { engines, type Tab } from '../../harness/engines.ts';
import { askToken } from '../../harness/http.ts';
import { until } from '../../harness/until.ts';
import { linkIn, reach, tap, viewOf, visitedPage } from '../../harness/visit.ts';

const LIFETIME_MS = 1_200_000;
const button = '<install-button account="customer 7"></install-button>';

for (const engine of engines)
  t.test(`visits in ${engine.name}`, { skip: engine.skip }, async (t) => {
    let aheadMs = 0;
    const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '10000' }, () => Date.now() + aheadMs);
    const pages: Record<string, string> = {
      '/': visitedPage(button),
      '/below': `${visitedPage(button)}<style>main{padding-block-start:5000px}</style>`,
      '/tomorrow': visitedPage(button, {
        head: '<script>skew(86_400_000)</script><script type="module" src="/install-button.js"></script>',
      }),
      '/unknown': visitedPage('<install-button app="com.example.other"></install-button>'),
      '/desktop': visitedPage(button, { userAgent: '' }),
      '/frame': visitedPage('').replace('<p id', '<iframe src="/" title="Trail Map"></iframe><p id'),
      '/overridden': visitedPage('<install-button support="yes" text-install="Get it"></install-button>', {
        userAgent: '',
      }),
      '/de': visitedPage(button, { lang: 'de-AT' }),
      '/fil': visitedPage(button, { lang: 'fil' }),
      '/rtl': visitedPage('<install-button dir="rtl"></install-button>', { lang: 'ar' }),
    };
    const site = await openSite(t, stage.service, pages);
    const tab = await engine.open(t);
    const open = async (path = '/', state = 'ready') => {
      await tab.goto(site.origin + path);
      await reach(tab, state);
      return linkIn(tab);
    };
    const asked = (path: string) => site.asked.filter((one) => one === path).length;
    const tokens = () => asked('/install-token');
    const untilLinkIsNot = (old: string | null) =>
      until(async () => {
        const link = await linkIn(tab);
        return link !== null && link !== old && link;
      }, 'another link');
    const isDisabled = (part: string) =>
      tab.run(
        (part) =>
          document
            .querySelector('install-button')
            ?.shadowRoot?.querySelector(`[part=${part}]`)
            ?.getAttribute('aria-disabled'),
        part,
      );
    const turn = (name: 'visibilityState' | 'onLine', value: string | boolean) => setPage(tab, name, value);
    t.afterEach(() => {
      site.instead = undefined;
    });

    await t.test('a tap follows a link that a device accepts, and the next link has another nonce', async (t) => {
      const first = await open();
      t.match(first, /^marketplace-kit:\/\/install\?.*&account=customer%207/);
      const verdict = await stage.sandbox.device({ installUrl: first ?? '', pageUrl: 'https://example.com/' });
      t.ok(verdict.accepted, JSON.stringify(verdict.checks.filter(({ ok }) => !ok)));
      const reports = asked('/installs');
      await tap(tab, 'link');
      const second = await untilLinkIsNot(first);
      t.not(claimsIn(second).nonce, claimsIn(first).nonce);
      t.strictSame(await tab.run(() => window.seen.taps), [{ href: first, isTrusted: true, isActive: true }]);
      await until(() => asked('/installs') === reports + 1, 'the report of the tap');
    });

    await t.test('the keyboard does what a tap does, and the focus stays', async (t) => {
      const first = await open();
      await tab.press('Tab');
      t.equal(await tab.run(() => document.activeElement?.localName), 'install-button');
      await tab.press('Enter');
      await untilLinkIsNot(first);
      t.strictSame(
        (await tab.run(() => window.seen.taps)).map(({ href }) => href),
        [first],
      );
      t.equal(await tab.run(() => document.activeElement?.localName), 'install-button');
    });

    const noCookie = engine.lacks.httpCookie ?? false;
    await t.test('the cookie makes the second install a redownload', { skip: noCookie }, async (t) => {
      await tap(tab, 'link');
      aheadMs += LIFETIME_MS + 1000;
      const dtype = async () => claimsIn(await open()).dtype;
      t.ok(await until(async () => (await dtype()) === 'redownload', 'the tap is known'));
      t.match(await (await askToken(site.origin)).json(), { dtype: 'download' }, 'but not of another device');
    });

    await t.test('nothing is requested until the button is near the viewport', async (t) => {
      const before = tokens();
      await open('/below', 'loading');
      await tab.run(
        () => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))),
      );
      t.equal(tokens(), before);
      t.equal(await isDisabled('link'), 'true');
      await tab.run(() => scrollTo(0, 5000));
      await reach(tab, 'ready');
    });

    await t.test('it is renewed well before it expires', async (t) => {
      const first = await open();
      await tab.run((ms) => window.sleep(ms), LIFETIME_MS * 0.75);
      t.not(claimsIn(await untilLinkIsNot(first)).nonce, claimsIn(first).nonce);
    });

    await t.test('a clock that is wrong by a day changes nothing', async (t) => {
      await open('/tomorrow');
      const before = tokens();
      await tab.run(() => window.pass(60_000));
      t.equal(tokens(), before);
      t.ok(await linkIn(tab));
    });

    await t.test('asleep past its expiry, the link is gone, and a new one is requested', async (t) => {
      const first = await open();
      site.instead = { status: 503, headers: { 'retry-after': '5' } };
      await tab.run((ms) => window.sleep(ms), LIFETIME_MS * 3);
      t.match(await reach(tab, 'error', 'http_error'), { hasLink: false, visible: ['retry'] });
      site.instead = undefined;
      await tab.run(() => window.pass(10_000));
      await reach(tab, 'ready');
      t.not(await linkIn(tab), first);
    });

    await t.test('a tap on an expired link is stopped even before any timer has run', async (t) => {
      const first = await open();
      await tab.run((ms) => window.skew(ms), LIFETIME_MS * 3);
      await tap(tab, 'link');
      await untilLinkIsNot(first);
      t.strictSame(await tab.run(() => window.seen.taps), []);
    });

    await t.test('a hidden page lets its link expire and requests none until it is visible again', async (t) => {
      await open();
      await turn('visibilityState', 'hidden');
      const before = tokens();
      await tab.run(() => window.pass(3_600_000));
      t.equal((await reach(tab, 'loading')).hasLink, false);
      t.equal(tokens(), before);
      await turn('visibilityState', 'visible');
      await reach(tab, 'ready');
    });

    await t.test('over the rate limit, it waits as long as Retry-After', async (t) => {
      site.instead = { status: 429, headers: { 'retry-after': '30' } };
      await open('/', 'limited');
      t.equal(await isDisabled('retry'), 'true', 'trying again is offered, but not before the time');
      site.instead = undefined;
      const before = tokens();
      await tap(tab, 'retry');
      await tab.run(() => window.pass(29_000));
      t.equal(tokens(), before, 'nothing requested meanwhile');
      await tab.run(() => window.pass(3000));
      await reach(tab, 'ready');
      t.equal(tokens(), before + 1);
    });

    await t.test('while the service cannot sign, a link that is still valid stays', async (t) => {
      const first = await open();
      site.instead = { status: 503, headers: { 'retry-after': '60' } };
      const before = tokens();
      await tab.run(() => window.sleep(900_000));
      await until(() => tokens() > before, 'a request');
      t.equal(await linkIn(tab), first, 'good for five more minutes');
      await tab.run(() => window.sleep(250_000));
      t.equal((await reach(tab, 'error', 'http_error')).hasLink, false);
    });

    await t.test('the service is down: it backs off, and retries at once on request', async (t) => {
      site.instead = 'hang up';
      await open('/', 'error');
      for (const seconds of [1, 2, 4, 8]) {
        const before = tokens();
        await tab.run((ms) => window.pass(ms), seconds * 900);
        t.equal(tokens(), before, `none within ${seconds} s`);
        let waitedMs = seconds * 900;
        for (; tokens() === before && waitedMs < seconds * 2100; waitedMs += 50) await tab.run(() => window.pass(50));
        t.ok(tokens() > before, `one after ${waitedMs} ms`);
        await tab.run(() => window.pass(0)); // time for its failure
      }
      site.instead = undefined;
      await tap(tab, 'retry');
      t.strictSame((await reach(tab, 'ready')).visible, ['link']);
      t.equal(await tab.run(() => document.activeElement?.localName), 'install-button', 'the focus is on the link');
    });

    await t.test('an error that waiting cannot fix is not retried', async (t) => {
      await tab.goto(`${site.origin}/unknown`);
      await reach(tab, 'error', 'unknown_app');
      const before = tokens();
      await tab.run(() => window.pass(3_600_000));
      t.equal(tokens(), before);
      t.equal(await isDisabled('retry'), 'false');
    });

    await t.test('the real limit of the service', async (t) => {
      const strict = await openStage(t, { WEBDIST_RATE_LIMIT: '1', WEBDIST_RATE_LIMIT_ADDRESS: '3' });
      const limited = await openSite(t, strict.service, { '/': visitedPage(button) });
      // The first request is a new device's, and the second counts for it, if it keeps the cookie.
      await tab.goto(`${limited.origin}/`);
      await reach(tab, 'ready');
      await tab.run(() => {
        addEventListener('install-state', ({ detail }: CustomEventInit) => {
          if (detail.code) document.title = detail.help;
        });
      });
      for (let links = 1; links <= (engine.lacks.httpCookie ? 3 : 2); links++) {
        const before = limited.asked.length;
        await tab.run(() => document.querySelector('install-button')?.refresh());
        await until(() => limited.asked.length > before, 'a request');
        await until(async () => (await viewOf(tab))?.state !== 'loading', 'the answer');
      }
      await reach(tab, 'limited', 'rate_limited');
      const help = await tab.run(() => document.title);
      t.equal(help, `${limited.origin}/problems/rate_limited`, 'the event points to what helps');
    });

    await t.test('offline and online again', async (t) => {
      await open();
      await turn('onLine', false);
      await tab.run(() => window.pass(3_600_000));
      t.equal((await reach(tab, 'error', 'offline')).hasLink, false);
      await turn('onLine', true);
      await reach(tab, 'ready');
    });

    await t.test('who can install, as told by the browser', async (t) => {
      for (const [name, userAgent, code, screen] of visitors) {
        pages['/visitor'] = visitedPage(button, { userAgent, screen });
        await tab.goto(`${site.origin}/visitor`);
        t.equal((await reach(tab, code ? 'unsupported' : 'ready')).code, code ?? null, name);
      }
      await tab.goto(`${site.origin}/frame`);
      await tab.run(async () => {
        const inner = () => document.querySelector('iframe')?.contentDocument?.querySelector('install-button');
        while (inner()?.code !== 'frame') await new Promise((done) => requestAnimationFrame(done));
      });
    });

    await t.test('a QR code is drawn by code that no device loads', async (t) => {
      const loaded = () =>
        tab.run(() =>
          performance
            .getEntriesByType('resource')
            .map(({ name }) => /install-button[\w-]*/.exec(name)?.[0])
            .filter(Boolean),
        );
      await open('/desktop', 'unsupported');
      const all = ['install-button', 'install-button-qr', 'install-button-uqr'];
      t.ok(await until(async () => (await loaded()).toSorted().join() === all.join(), 'the QR code'));
      const path = () =>
        tab.run(() =>
          document.querySelector('install-button')?.shadowRoot?.querySelector('[part=qr] path')?.getAttribute('d'),
        );
      t.match(await until(path, 'its picture'), /^M0 0h1v1h-1z/);
      await open();
      t.strictSame(await loaded(), ['install-button']);
    });

    await t.test('overridden by attributes; in the language of the page, else in English', async (t) => {
      const text = () =>
        tab.run(() => document.querySelector('install-button')?.shadowRoot?.querySelector('a')?.textContent);
      for (const [path, expected] of Object.entries({
        '/overridden': 'Get it',
        '/de': 'Installieren',
        '/fil': 'Install',
      })) {
        await open(path);
        t.ok(await until(async () => (await text()) === expected, `${path}: ${expected}`));
      }
    });

    await t.test('in a right-to-left language, nothing overflows', async (t) => {
      await open('/rtl');
      const [inner, outer] = await tab.run(() => {
        const host = document.querySelector('install-button');
        const link = host?.shadowRoot?.querySelector('a');
        return [link, host].map((element) => element?.getBoundingClientRect().toJSON() as DOMRect);
      });
      t.ok(inner && outer && inner.left >= outer.left && inner.right <= outer.right);
      t.equal(inner?.right, outer?.right, 'it starts at the right');
      t.equal(await tab.run(() => document.documentElement.scrollWidth <= innerWidth), true);
    });
  });

/** Sets what the page reads from its window, and notifies it. */
const setPage = (tab: Tab, name: 'visibilityState' | 'onLine', value: string | boolean) =>
  tab.run(
    ([name, value]) => {
      if (name === 'visibilityState') {
        Object.defineProperty(document, name, { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      } else {
        Object.defineProperty(navigator, name as string, { value, configurable: true });
        dispatchEvent(new Event(value ? 'online' : 'offline'));
      }
    },
    [name, value] as const,
  );
