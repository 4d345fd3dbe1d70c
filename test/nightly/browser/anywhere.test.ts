/** The button wherever a page may put it, in three engines. */

import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { openSite, openStage } from '../../harness/browser.ts';
import { engines } from '../../harness/engines.ts';
import { until } from '../../harness/until.ts';
import { linkIn, reach, tap, visitedPage } from '../../harness/visit.ts';

const button = '<install-button></install-button>';

for (const engine of engines)
  t.test(`anywhere in a page, in ${engine.name}`, { skip: engine.skip }, async (t) => {
    const apiKey = randomBytes(24).toString('base64url');
    const stage = await openStage(t, {
      WEBDIST_RATE_LIMIT: '10000',
      WEBDIST_API_KEYS: `website:${createHash('sha256').update(apiKey).digest('hex')}`,
    });
    const renderedLink = async () => {
      const response = await fetch(`${stage.service}/install-token`, {
        headers: { authorization: `Bearer ${apiKey}` },
      });
      return ((await response.json()) as { installUrl: string }).installUrl;
    };
    const pages: Record<string, string> = {
      '/': visitedPage(button),
      '/form': visitedPage(`<form action="/away" lang="de"><input name="x">${button}</form>`),
      '/twice': visitedPage(button + button.replace('>', ' account="2">')),
      '/early': visitedPage(button, {
        head: `<script>addEventListener('DOMContentLoaded', async () => {
          Object.assign(document.querySelector('install-button'), { accessToken: 'early', account: 'early 1' });
          await import('/install-button.js');
        })</script>`,
      }),
      '/old': visitedPage('<install-button support="outdated"></install-button>', {
        head: `<script>window.CSSStyleSheet = undefined; Element.prototype.attachInternals = undefined;
          HTMLElement.prototype.attachInternals = undefined</script>
          <script type="module" src="/install-button.js"></script>`,
      }),
      '/below': visitedPage('<install-button server="/webdist"></install-button>'),
      '/centred': visitedPage(`<div style="text-align: center">${button}</div>`),
      '/large': visitedPage(button).replace('<style>', '<style>html { font-size: 200% }'),
    };
    const site = await openSite(t, stage.service, pages);
    const tab = await engine.open(t);
    const open = async (path: string) => {
      await tab.goto(site.origin + path);
      await reach(tab, 'ready');
      return linkIn(tab);
    };
    const tokens = () => site.asked.filter((path) => path.endsWith('/install-token')).length;
    const frames = () =>
      tab.run(() => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

    await t.test('the link stays when the element is moved, in every way', async (t) => {
      const link = await open('/');
      const before = tokens();
      await tab.run(async () => {
        const element = document.querySelector('install-button') as Element;
        const main = document.querySelector('main') as Element & { moveBefore?(node: Node, child: null): void };
        for (let time = 0; time < 20; time++) main.append(element);
        main.moveBefore?.(element, null);
        const swap = () => main.prepend(element);
        const { startViewTransition } = document as unknown as {
          startViewTransition?(work: () => void): { finished: Promise<void> };
        };
        if (startViewTransition) await startViewTransition.call(document, swap).finished.catch(() => undefined);
        else swap();
      });
      await frames();
      t.equal(await linkIn(tab), link);
      t.equal(tokens(), before, 'and no token is requested');
      await tap(tab, 'link');
      t.equal((await tab.run(() => window.seen.taps)).length, 1);
    });

    await t.test('a copy of the element, as Turbo and htmx make it, gets its own link', async (t) => {
      const link = await open('/');
      await tab.run(() => {
        const element = document.querySelector('install-button');
        element?.replaceWith(element.cloneNode(true));
      });
      await reach(tab, 'ready');
      t.not(await linkIn(tab), link);
    });

    await t.test('inside another shadow root, it finds its language outside', async (t) => {
      await tab.goto(`${site.origin}/`);
      const text = () =>
        tab.run(() => {
          const inner = document.querySelector('#outer')?.shadowRoot?.querySelector('install-button');
          return inner?.state === 'ready' ? inner.shadowRoot?.querySelector('a')?.textContent : undefined;
        });
      await tab.run(() => {
        const outer = document.createElement('div');
        outer.id = 'outer';
        outer.lang = 'fr';
        outer.attachShadow({ mode: 'open' }).append(document.createElement('install-button'));
        document.querySelector('install-button')?.replaceWith(outer);
      });
      t.ok(await until(async () => (await text()) === 'Installer', 'French'));
    });

    await t.test('in a form, a tap submits nothing', async (t) => {
      site.instead = { status: 503 };
      await tab.goto(`${site.origin}/form`);
      await reach(tab, 'error');
      site.instead = undefined;
      await tap(tab, 'retry');
      await reach(tab, 'ready');
      await tap(tab, 'link');
      t.equal(await tab.run(() => location.pathname), '/form');
      t.equal((await tab.run(() => window.seen.taps)).length, 1);
    });

    await t.test('two buttons on a page have a link each', async (t) => {
      await open('/twice');
      const links = () => tab.run(() => [...document.querySelectorAll('install-button')].map((one) => one.installUrl));
      await until(async () => (await links()).every(Boolean), 'both');
      const [one, two] = await links();
      t.not(one, two);
      t.match(two, 'account=2');
    });

    await t.test('properties set before the element is defined take effect', async (t) => {
      await tab.goto(`${site.origin}/early`);
      await reach(tab, 'error', 'unauthorized');
      t.equal(await tab.run(() => document.querySelector('install-button')?.accessToken), 'early');
      await tab.run(
        () => Object.assign(document.querySelector('install-button') ?? {}, { accessToken: undefined }) && 0,
      );
      await reach(tab, 'ready'); // another credential is tried at once
      t.match(await linkIn(tab), 'account=early%201');
      t.equal(await tab.run(() => document.querySelector('install-button')?.getAttribute('account')), 'early 1');
    });

    await t.test('without constructable style sheets, it still shows the requirement', async (t) => {
      await tab.goto(`${site.origin}/old`);
      t.match(await reach(tab, 'unsupported'), { message: 'This needs iOS 17.5 or iPadOS 18, or later.', visible: [] });
      t.strictSame(await tab.run(() => window.seen.complaints), []);
    });

    await t.test('below a path, every request keeps that path', async (t) => {
      site.asked.length = 0;
      await open('/below');
      await tap(tab, 'link');
      await until(() => site.asked.includes('/webdist/installs'), 'the report');
      t.strictSame(
        site.asked
          .filter((path) => path.includes('install-token') || path.includes('installs'))
          .map((path) => path.split('/')[1]),
        Array(site.asked.filter((path) => path.includes('install-token') || path.includes('installs')).length).fill(
          'webdist',
        ),
      );
    });

    await t.test('a link that the server rendered is used, unless it has ended or is for another app', async (t) => {
      const rendered = await renderedLink();
      pages['/rendered'] = visitedPage(
        `<install-button><a href="${rendered.replaceAll('&', '&amp;')}">x</a></install-button>`,
      );
      t.equal(await open('/rendered'), rendered);
      t.equal(
        await tab.run(() => performance.getEntriesByType('resource').filter(({ name }) => /token/.test(name)).length),
        0,
        'no second token',
      );
      await tap(tab, 'link');
      await until(async () => (await linkIn(tab)) !== rendered && (await linkIn(tab)) !== null, 'another link');
      pages['/other'] = pages['/rendered'].replace('<install-button>', '<install-button app="com.example.other">');
      await tab.goto(`${site.origin}/other`);
      await reach(tab, 'error', 'unknown_app');
    });

    await t.test('it follows the alignment of the page, and large text', async (t) => {
      await open('/centred');
      const [link, host] = await tab.run(() => {
        const element = document.querySelector('install-button');
        return [element?.shadowRoot?.querySelector('a'), element].map((one) => {
          const box = one?.getBoundingClientRect() ?? new DOMRect();
          return box.x + box.width / 2;
        });
      });
      t.ok(Math.abs((link ?? 0) - (host ?? 9)) < 1, 'centred');
      await open('/large');
      await frames();
      t.equal(await tab.run(() => document.documentElement.scrollWidth <= innerWidth), true, 'nothing sticks out');
      t.equal((await tab.run(() => window.seen.tops)).length <= 2, true);
      t.equal(await tab.run(() => document.getAnimations().length), 0, 'nothing is animated');
    });
  });
