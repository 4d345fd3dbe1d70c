/** The reports of many visits, some of which fail: every number of the metrics is exact. FUNNEL_VISITS=1000 at night. */

import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { claimsIn, openSite, openStage } from '../../harness/browser.ts';
import { noChromium, openChromium } from '../../harness/chromium.ts';
import { until } from '../../harness/until.ts';
import { visitedPage } from '../../harness/visit.ts';

const VISITS = Number(process.env['FUNNEL_VISITS'] ?? 50);

/** What happens in every tenth visit, starting with the first, the second and so on. */
const visits = [
  'region',
  'unknown_app',
  'http_error',
  'tapped_early',
  'not seen',
  'confirmed',
  'tapped_again',
  'tapped',
  'tapped',
  'ready',
] as const;

t.test('the funnel of many visits', { skip: noChromium, timeout: 1_200_000 }, async (t) => {
  const apiKey = randomBytes(24).toString('base64url');
  const stage = await openStage(t, {
    WEBDIST_RATE_LIMIT: '1000000',
    WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
    WEBDIST_BUTTON_ERRORS: '1',
    WEBDIST_API_KEYS: `licence:${createHash('sha256').update(apiKey).digest('hex')}`,
  });
  const site = await openSite(t, stage.service, {
    '/': visitedPage('<install-button></install-button>'),
    '/region': visitedPage('<install-button support="region"></install-button>'),
    '/unknown_app': visitedPage('<install-button app="com.example.other"></install-button>'),
    '/not%20seen': `${visitedPage('<install-button></install-button>')}<style>main{padding-block-start:5000px}</style>`,
  });
  const page = await (await openChromium(t)).newPage();
  const reaches = (state: string, code?: string) =>
    page.waitForFunction(
      ([state, code]) => {
        const button = document.querySelector('install-button');
        return button?.state === state && (code === null || button?.code === code);
      },
      [state, code ?? null],
    );
  const click = () =>
    page.evaluate(() => document.querySelector('install-button')?.shadowRoot?.querySelector('a')?.click());
  const link = () => page.evaluate(() => document.querySelector('install-button')?.installUrl ?? null);
  const confirm = async (installUrl: string | null) => {
    const response = await fetch(`${stage.service}/installs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ nonce: claimsIn(installUrl).nonce }),
    });
    t.equal(response.status, 204);
  };

  const drive: Record<(typeof visits)[number], () => Promise<unknown>> = {
    region: () => reaches('unsupported', 'region'),
    unknown_app: () => reaches('error', 'unknown_app'),
    http_error: () => reaches('error', 'http_error'),
    tapped_early: click,
    'not seen': () => reaches('loading'),
    async confirmed() {
      await reaches('ready');
      const first = await link();
      await click();
      await confirm(first);
    },
    async tapped_again() {
      await reaches('ready');
      const first = await link();
      await click();
      await page.waitForFunction(
        (old) => ![undefined, old].includes(document.querySelector('install-button')?.installUrl),
        first ?? '',
      );
      await click();
    },
    async tapped() {
      await reaches('ready');
      await click();
    },
    ready: () => reaches('ready'),
  };
  const seen = () =>
    page.evaluate(async () => {
      const near = new Promise<void>((done) => {
        const observer = new IntersectionObserver(() => done());
        observer.observe(document.body);
      });
      await near; // by then, the button's own observer has been called too
      await new Promise((done) => requestAnimationFrame(done));
    });
  for (let index = 0; index < VISITS; index++) {
    const visit = visits[index % visits.length] ?? 'ready';
    site.instead = visit === 'http_error' ? { status: 502 } : visit === 'tapped_early' ? 'no answer' : undefined;
    await page.goto(`${site.origin}/${['region', 'unknown_app', 'not seen'].includes(visit) ? visit : ''}`);
    await seen();
    await drive[visit]();
  }
  await page.goto('about:blank');

  const each = VISITS / visits.length;
  const app = stage.sandbox.settings.WEBDIST_BUNDLE_ID;
  const expected = {
    [`webdist_button_visits_total{app="${app}",step="shown"}`]: 8 * each,
    [`webdist_button_visits_total{app="unknown",step="shown"}`]: each,
    [`webdist_button_visits_total{app="${app}",step="ready"}`]: 5 * each,
    [`webdist_button_visits_total{app="${app}",step="tapped"}`]: 4 * each,
    [`webdist_install_evidence_total{app="${app}",evidence="confirm"}`]: each,
    [`webdist_button_errors_total{app="${app}",code="region"}`]: each,
    [`webdist_button_errors_total{app="unknown",code="unknown_app"}`]: each,
    [`webdist_button_errors_total{app="${app}",code="http_error"}`]: each,
    [`webdist_button_errors_total{app="${app}",code="tapped_early"}`]: each,
    [`webdist_button_errors_total{app="${app}",code="tapped_again"}`]: each,
  };
  const measured = async () => {
    const lines = (await (await fetch(`${stage.service}/metrics`)).text())
      .split('\n')
      .filter((line) => /^webdist_(button_|install_evidence_total\{.*confirm)/.test(line))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))] as const);
    return Object.fromEntries(lines);
  };
  const sum = (numbers: Record<string, number>) => Object.values(numbers).reduce((total, one) => total + one, 0);
  await until(async () => sum(await measured()) >= sum(expected), 'all reports', 10).catch(() => undefined);
  t.strictSame(await measured(), expected);
});
