import t from 'tap';
import { openSite, openStage } from '../../harness/browser.ts';
import { engines } from '../../harness/engines.ts';
import { reach, tap, type View, viewOf, visitedPage } from '../../harness/visit.ts';

const webKit = 'AppleWebKit/605.1.15 (KHTML, like Gecko)';
const phone = (version: string) => `Mozilla/5.0 (iPhone; CPU iPhone OS ${version} like Mac OS X) ${webKit}`;

/** What each state looks like, the same in every engine. */
const states: Record<
  string,
  { readonly path: string; readonly instead?: 429 | 503 | 'no answer'; readonly view: View }
> = {
  loading: {
    path: '/',
    instead: 'no answer',
    view: { state: 'loading', code: null, message: 'Getting ready…', visible: ['link'], hasLink: false },
  },
  ready: { path: '/', view: { state: 'ready', code: null, message: '', visible: ['link'], hasLink: true } },
  limited: {
    path: '/',
    instead: 429,
    view: {
      state: 'limited',
      code: 'http_error',
      message: 'Too many attempts. Please wait a moment.',
      visible: ['retry'],
      hasLink: false,
    },
  },
  error: {
    path: '/',
    instead: 503,
    view: {
      state: 'error',
      code: 'http_error',
      message: 'Installing is not possible right now.',
      visible: ['retry'],
      hasLink: false,
    },
  },
  elsewhere: {
    path: '/elsewhere',
    view: {
      state: 'unsupported',
      code: 'elsewhere',
      message: 'Open this page on your iPhone or iPad.',
      visible: ['qr'],
      hasLink: false,
    },
  },
  ...Object.fromEntries(
    Object.entries({
      outdated: 'This needs iOS 17.5 or iPadOS 18, or later.',
      'in-app': 'Open this page in Safari.',
      frame: 'Open this page in Safari.',
      region: 'This app can be installed only in the European Union.',
    }).map(([code, message]) => [
      code,
      { path: `/${code}`, view: { state: 'unsupported', code, message, visible: [], hasLink: false } },
    ]),
  ),
};

for (const engine of engines)
  t.test(`the states in ${engine.name}`, { skip: engine.skip }, async (t) => {
    const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
    const button = '<install-button></install-button>';
    const site = await openSite(t, stage.service, {
      '/': visitedPage(button),
      '/elsewhere': visitedPage('<install-button data-desktop></install-button>', { userAgent: '' }),
      '/outdated': visitedPage(button, { userAgent: `${phone('17_4_1')} Version/17.4 Mobile/15E148 Safari/604.1` }),
      '/in-app': visitedPage(button, { userAgent: `${phone('18_1')} Mobile/22B83 Instagram 350.0` }),
      '/frame': visitedPage('<install-button support="frame"></install-button>'),
      '/region': visitedPage('<install-button support="region"></install-button>'),
    });
    const tab = await engine.open(t);
    const frames = () =>
      tab.run(() => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));
    const checkVisit = async () => {
      await frames();
      const { tops, complaints } = await tab.run(() => window.seen);
      t.equal(tops.length, 1, `nothing moves: ${tops}`);
      t.strictSame(complaints, []);
    };
    const custom = () =>
      tab.run(() =>
        ['loading', 'ready', 'limited', 'error', 'unsupported', 'tapped'].filter((name) =>
          document.querySelector('install-button')?.matches(`:state(${name})`),
        ),
      );

    for (const [name, { path, instead, view }] of Object.entries(states)) {
      site.instead = typeof instead === 'number' ? { status: instead, headers: { 'retry-after': '30' } } : instead;
      await tab.goto(site.origin + path);
      t.strictSame(await reach(tab, view.state), view, name);
      t.strictSame(await custom(), [view.state], 'as a custom state');
      if (name === 'elsewhere') await reachQr();
      await checkVisit();
      t.strictSame(
        await tab.run(() => document.querySelector('install-button')?.getAttributeNames()),
        path === '/elsewhere' ? ['data-desktop'] : ['frame', 'region'].includes(name) ? ['support'] : [],
        'and not as an attribute',
      );
    }

    async function reachQr() {
      await tab.run(async () => {
        const qr = document.querySelector('install-button')?.shadowRoot?.querySelector('[part=qr]');
        while (!qr?.querySelector('path')) await new Promise((done) => requestAnimationFrame(done));
      });
    }

    await t.test('"Open in Safari" opens Safari on an iPhone', async (t) => {
      const hrefOn = async (path: string) => {
        await tab.goto(site.origin + path);
        return tab.run(
          () => document.querySelector('install-button')?.shadowRoot?.querySelector<HTMLAnchorElement>('p a')?.href,
        );
      };
      t.equal(await hrefOn('/in-app'), `x-safari-${site.origin}/in-app`);
      t.equal(await hrefOn('/frame'), `${site.origin}/frame`);
      t.equal(
        await tab.run(
          () => document.querySelector('install-button')?.shadowRoot?.querySelector<HTMLAnchorElement>('p a')?.target,
        ),
        '_blank',
        'outside the frame',
      );
    });

    await t.test('nothing moves through all states of one visit', async (t) => {
      site.instead = { status: 503 };
      await tab.goto(`${site.origin}/`);
      await reach(tab, 'error');
      site.instead = undefined;
      await tap(tab, 'retry');
      await reach(tab, 'ready');
      const href = await tab.run(() => document.querySelector('install-button')?.installUrl);
      await tap(tab, 'link');
      const view = { state: 'ready', code: null, visible: ['link'], hasLink: true };
      await tab.run(async (before) => {
        const button = document.querySelector('install-button');
        while (!button?.installUrl || button.installUrl === before)
          await new Promise((done) => requestAnimationFrame(done));
      }, href);
      t.strictSame(await viewOf(tab), { ...view, message: 'Confirm on your device. Nothing happened? Tap again.' });
      t.strictSame(await custom(), ['ready', 'tapped']);
      t.strictSame(await tab.run(() => window.seen.taps), [{ href, isTrusted: true, isActive: true }]);
      site.instead = { status: 429, headers: { 'retry-after': '60' } };
      await tab.run(() => document.querySelector('install-button')?.refresh());
      await reach(tab, 'limited');
      site.instead = undefined;
      await tab.run(() => window.pass(62_000));
      await reach(tab, 'ready');
      await checkVisit();
    });

    await t.test('every language fits into the reserved space', async (t) => {
      const { texts } = await import('../../../src/browser/install-button-texts.ts');
      for (const lang of Object.keys(texts)) {
        await tab.goto(`${site.origin}/`);
        const tops = await tab.run(async (lang) => {
          const button = document.querySelector('install-button') as HTMLElement;
          button.remove();
          document.documentElement.lang = lang;
          document.querySelector('h1')?.after(button);
          await new Promise((done) => setTimeout(done, 100));
          const heights = new Set<number>();
          for (const support of ['yes', 'outdated', 'in-app', 'region']) {
            button.setAttribute('support', support);
            await new Promise((done) => requestAnimationFrame(done));
            heights.add(button.getBoundingClientRect().height);
          }
          return [...heights];
        }, lang);
        t.equal(tops.length, 1, `${lang}: ${tops}`);
      }
    });
  });
