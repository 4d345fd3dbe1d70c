/** What surrounds the button, in three engines: the page's policy, TLS and other hosts, the back-forward cache, forced colours. */

import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { claimsIn, openSite, openStage } from '../../harness/browser.ts';
import { type Engine, engines, type Tab } from '../../harness/engines.ts';
import { noNginx, openWebServer } from '../../harness/nginx.ts';
import { until } from '../../harness/until.ts';
import { linkIn, reach, tap, viewOf, visitedPage } from '../../harness/visit.ts';

const LIFETIME_MS = 1_200_000;
const button = '<install-button></install-button>';

/** A style of a part of the button. */
const styleOf = (tab: Tab, part: string) =>
  tab.run((part) => {
    const element = document.querySelector('install-button')?.shadowRoot?.querySelector(`[part=${part}]`);
    const { color, backgroundColor, borderTopColor, borderRadius } = getComputedStyle(element as Element);
    return { color, backgroundColor, borderTopColor, borderRadius };
  }, part);

const complaintsIn = (tab: Tab) => tab.run(() => window.seen.complaints);

for (const engine of engines)
  t.test(engine.name, { skip: engine.skip }, async (t) => {
    await t.test('a strict content security policy', (t) => policies(t, engine));
    await t.test('behind nginx, over TLS', { skip: noNginx }, (t) => hosts(t, engine));
    await t.test('a return from the back-forward cache shows no stale link', (t) => comesBack(t, engine));
    const skip = engine.lacks.forcedColors ?? false;
    await t.test('forced colours', { skip }, (t) => forcedColours(t, engine));
    await t.test('without its module, the content between the tags is shown', (t) => fallback(t, engine));
  });

async function policies(t: Test, engine: Engine): Promise<void> {
  const stage = await openStage(t);
  const module = await (await fetch(`${stage.service}/install-button.js`)).text();
  const integrity = `sha384-${createHash('sha384').update(module).digest('base64')}`;
  const policy = (scripts: string) => ({
    'content-security-policy': `default-src 'none'; script-src 'nonce-page' ${scripts}; style-src 'nonce-page'; img-src data:; connect-src 'self'; base-uri 'none'; require-trusted-types-for 'script'`,
  });
  const page = (attributes: string, script: string) =>
    visitedPage(button.replace('>', `${attributes}>`), {
      lang: 'de',
      head: `<script type="module" src="/install-button.js" ${script}></script>`,
    })
      .replaceAll('<script>', '<script nonce="page">')
      .replaceAll('<style>', '<style nonce="page">');
  const site = await openSite(t, stage.service, {
    '/nonce': { html: page('', 'nonce="page"'), headers: policy('') },
    '/nonce-qr': { html: page(' support="elsewhere"', 'nonce="page"'), headers: policy('') },
    '/integrity': {
      html: page('', `integrity="${integrity}"`),
      headers: policy(`'${integrity}' http://localhost:*/install-button-texts.js`),
    },
    '/refused': { html: page('', ''), headers: policy('') },
  });
  const tab = await engine.open(t);
  for (const path of ['/nonce', '/integrity', '/nonce-qr']) {
    await tab.goto(site.origin + path);
    if (path === '/nonce-qr')
      t.ok(
        await until(
          () => tab.run(() => !!document.querySelector('install-button')?.shadowRoot?.querySelector('[part=qr] path')),
          'the QR code',
        ),
        path,
      );
    else {
      await reach(tab, 'ready');
      const text = () =>
        tab.run(() => document.querySelector('install-button')?.shadowRoot?.querySelector('a')?.textContent);
      t.ok(await until(async () => (await text()) === 'Installieren', 'the German text'), path);
    }
    t.strictSame(await complaintsIn(tab), []);
    t.not((await styleOf(tab, 'link')).borderRadius, '0px', 'and styled');
  }
  await tab.goto(`${site.origin}/refused`);
  t.equal((await complaintsIn(tab)).length, 1, 'a violation would be noticed');
}

async function hosts(t: Test, engine: Engine): Promise<void> {
  const stage = await openStage(t, { WEBDIST_ALLOWED_ORIGINS: 'https://www.example.com' });
  const site = await openSite(t, stage.service, {});
  const { proxyPort } = await openWebServer(t, site.origin, {
    'index.html': visitedPage(button),
    'sibling.html': visitedPage(button, {
      head: '<script type="module" src="https://install.example.com/install-button.js"></script>',
    }),
  });
  for (const [address, name] of Object.entries({
    'https://example.com/': 'page and service on the same host',
    'https://example.com/sibling.html': 'the service on a sibling host',
  })) {
    const tab = await engine.open(t, { proxyPort });
    site.cookies.length = 0;
    await tab.goto(address);
    await reach(tab, 'ready');
    const href = await linkIn(tab);
    const verdict = await stage.sandbox.device({ installUrl: href ?? '', pageUrl: address });
    t.ok(verdict.accepted, `${name}: ${JSON.stringify(verdict.checks.filter(({ ok }) => !ok))}`);
    t.equal(await tab.run(() => document.cookie), '', 'no script sees the cookie');
    const reports = site.asked.filter((path) => path === '/installs').length;
    await tap(tab, 'link');
    const second = await until(async () => {
      const link = await linkIn(tab);
      return link !== href && link;
    }, 'another link');
    t.not(claimsIn(second).nonce, claimsIn(href).nonce);
    await until(() => site.asked.filter((path) => path === '/installs').length > reports, 'the report of the tap');
    const [first, renewed] = site.cookies;
    t.equal(first?.sent, undefined);
    t.match(first?.set, [/^webdist_device=[^;]+;(?=.*\bHttpOnly\b)(?=.*\bSecure\b)(?=.*\bSameSite=Lax\b)/]);
    t.equal(renewed?.sent, first?.set[0]?.split(';')[0], 'the device stays the same');
    t.strictSame(await complaintsIn(tab), []);
  }

  const tab = await engine.open(t, { proxyPort });
  await tab.goto('https://www.example.com/sibling.html');
  await reach(tab, 'ready');
  await tab.goto('https://copycat.example/sibling.html');
  t.equal((await reach(tab, 'error')).hasLink, false, 'a page of another website gets no link');
}

async function comesBack(t: Test, engine: Engine): Promise<void> {
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
  const site = await openSite(t, stage.service, {
    '/': visitedPage(button),
    '/away': '<!doctype html><title>Away</title>',
  });
  const tab = await engine.open(t);
  await tab.goto(`${site.origin}/`);
  await reach(tab, 'ready');
  const first = await linkIn(tab);
  await tab.run(() => {
    const { now } = Date;
    Date.now = () => now() + Number(localStorage.getItem('aheadMs') ?? 0);
    addEventListener('pageshow', ({ persisted }) => {
      const { installUrl = null } = document.querySelector('install-button') ?? {};
      document.title = JSON.stringify({ persisted, installUrl });
    });
  });
  await tab.goto(`${site.origin}/away`);
  await tab.run((ms) => localStorage.setItem('aheadMs', String(ms)), LIFETIME_MS * 2);
  await tab.back();
  const title = await until(async () => {
    const title = await tab.run(() => document.title);
    return title.startsWith('{') && title;
  }, 'the page');
  t.strictSame(JSON.parse(title), { persisted: true, installUrl: null }, 'from the cache, without the link');
  await reach(tab, 'ready');
  t.not(await linkIn(tab), first);
}

async function forcedColours(t: Test, engine: Engine): Promise<void> {
  const stage = await openStage(t, { WEBDIST_RATE_LIMIT: '1000' });
  const site = await openSite(t, stage.service, {
    '/': visitedPage(button),
    '/elsewhere': visitedPage('<install-button data-desktop></install-button>', { userAgent: '' }),
  });
  const tab = await engine.open(t, { forcedColors: true });
  const open = async (path: string, state: string) => {
    await tab.goto(site.origin + path);
    await reach(tab, state);
    t.ok(await tab.run(() => matchMedia('(forced-colors: active)').matches), 'colours are forced');
  };
  const isDrawn = async (part: string) => {
    const { color, backgroundColor, borderTopColor } = await styleOf(tab, part);
    t.notMatch(borderTopColor, /^rgba\(.*, 0\)$|^transparent$/, `${part}: its border shows`);
    t.not(borderTopColor, backgroundColor, `${part}: its border stands out`);
    t.not(color, backgroundColor, `${part}: its text is legible`);
  };
  site.instead = 'no answer';
  await open('/', 'loading');
  await isDrawn('link');
  site.instead = undefined;
  await open('/', 'ready');
  await isDrawn('link');
  site.instead = { status: 503 };
  await open('/', 'error');
  await isDrawn('retry');
  await open('/elsewhere', 'unsupported');
  await until(
    () => tab.run(() => !!document.querySelector('install-button')?.shadowRoot?.querySelector('[part=qr] path')),
    'the QR code',
  );
  const { color, backgroundColor } = await styleOf(tab, 'qr');
  t.strictSame([color, backgroundColor], ['rgb(0, 0, 0)', 'rgb(255, 255, 255)'], 'a camera can read the QR code');
  t.equal((await tab.run(() => window.seen.tops)).length, 1, 'nothing moves');
}

async function fallback(t: Test, engine: Engine): Promise<void> {
  const stage = await openStage(t);
  const inside = '<install-button><a id="help" href="/help">How to install</a></install-button>';
  const site = await openSite(t, stage.service, {
    '/with': visitedPage(inside),
    '/without': visitedPage(inside, { head: '' }),
  });
  const tab = await engine.open(t);
  const isShown = () => tab.run(() => (document.querySelector('#help')?.getClientRects().length ?? 0) > 0);
  await tab.goto(`${site.origin}/without`);
  t.equal(await isShown(), true);
  t.equal(await viewOf(tab), null);
  await tab.goto(`${site.origin}/with`);
  await reach(tab, 'ready');
  t.equal(await isShown(), false);
}
