/** The unit of every limit is the install token, however tokens are requested, in memory and in Redis alike (docs/http-api.md, "Limits"). */

import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { type Answer, post } from '../../harness/http.ts';
import { noRedis, sharedRedisUrl } from '../../harness/redis.ts';
import { settingsOfApps, startReady } from '../../harness/service.ts';

const APPS = 10;
const KEY = 'a-key-of-26-characters-here';
const sha256 = createHash('sha256').update(KEY).digest('hex');
const server = { authorization: `Bearer ${KEY}` };

const appAt = (index: number) => ({ appleItemId: String(6500000100 + index), appleVersionId: '1' });
const appsUpTo = (count: number) => Array.from({ length: count }, (_, index) => appAt(index));

async function open(t: Test, more: Environment) {
  const { url, log } = await startReady(
    t,
    undefined,
    settingsOfApps(temporaryFolder(t), APPS, {
      WEBDIST_API_KEYS: `shop:${sha256}`,
      WEBDIST_OAUTH: 'own',
      WEBDIST_LEDGER: 'memory:',
      ...more,
    }),
  );
  return {
    issued: () => log.events('install_token_issued').length,
    page: (cookie = '', app = 'com.example.app0') => post(`${url}/install-token`, { app }, { cookie }),
    batch: (count: number, body = appsUpTo(count)) =>
      post(`${url}/install-tokens`, { requests: body.map(({ appleItemId }) => ({ app: appleItemId })) }, server),
    single: () => post(`${url}/install-token`, { app: 'com.example.app0' }, server),
    restore: (apps: readonly object[], accessToken?: string) =>
      post(
        `${url}/marketplace-kit/restore`,
        { apps, platform: 'iOS' },
        accessToken ? { authorization: `Bearer ${accessToken}` } : {},
      ),
    updates: (apps: readonly object[]) => post(`${url}/marketplace-kit/updates`, { apps, platform: 'iOS' }),
    async accessToken({ body }: Answer): Promise<string> {
      const linkToken = new URLSearchParams(String(body['installUrl']).split('?')[1]).get('token') ?? '';
      const answer = await fetch(`${url}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: linkToken,
        }),
      });
      return ((await answer.json()) as { access_token: string }).access_token;
    },
  };
}
type Opened = Awaited<ReturnType<typeof open>>;

/** The requests that an attacker sends until it is refused, and the number of tokens that it may get. */
const attacks: Readonly<
  Record<string, { settings: Environment; tokens: number; attack: (service: Opened) => Promise<unknown> }>
> = {
  'one restore of more apps than the address has left': {
    settings: { WEBDIST_RATE_LIMIT_ADDRESS: '5' },
    tokens: 0,
    attack: ({ restore }) => restore(appsUpTo(6)),
  },
  'restores of three apps': {
    settings: { WEBDIST_RATE_LIMIT_ADDRESS: '8' },
    tokens: 6,
    attack: ({ restore }) => times(9, () => restore(appsUpTo(3))),
  },
  'pages and restores from one address': {
    settings: { WEBDIST_RATE_LIMIT_ADDRESS: '7' },
    tokens: 7,
    attack: async ({ page, restore }) => {
      await times(4, () => page());
      await times(9, () => restore(appsUpTo(1)));
    },
  },
  'subjects that the attacker made itself': {
    settings: { WEBDIST_RATE_LIMIT_ADDRESS: '20' },
    tokens: 20,
    async attack({ page, accessToken, restore }) {
      for (let n = 0; n < 8; n++) {
        const device = await accessToken(await page());
        await times(2, () => restore(appsUpTo(1), device));
      }
    },
  },
  'one subject as a page and as a device': {
    settings: { WEBDIST_RATE_LIMIT: '4' },
    tokens: 5,
    async attack({ page, accessToken, restore }) {
      // The first is the subject's own, and counts under its address only.
      const first = await page();
      const device = await accessToken(first);
      await times(2, () => page(first.cookie));
      await times(4, () => restore(appsUpTo(1), device));
    },
  },
  'restores and batches beyond the total': {
    settings: { WEBDIST_RATE_LIMIT_TOTAL: '12' },
    tokens: 12,
    async attack({ batch, restore, page, single }) {
      await restore(appsUpTo(5));
      await batch(5);
      await page();
      await single();
      await batch(5);
      await restore(appsUpTo(2));
      await single();
      await page();
    },
  },
  'restores and batches of one app beyond its limit': {
    settings: { WEBDIST_RATE_LIMIT_APP: '4' },
    tokens: 4,
    async attack({ batch, restore, page }) {
      await restore([appAt(0)]);
      await batch(6, Array(6).fill(appAt(0)));
      await restore([appAt(0)]);
      await page();
    },
  },
  'a batch beyond the limit of its API key': {
    settings: { WEBDIST_API_KEYS: `shop:${sha256}:6` },
    tokens: 6,
    async attack({ batch, single }) {
      await times(2, single);
      await batch(4);
      await batch(4);
      await single();
    },
  },
};

const times = (count: number, work: () => Promise<unknown>) =>
  Array.from({ length: count }).reduce<Promise<unknown>>((before) => before.then(work), Promise.resolve());

for (const [backend, skip, settings] of [
  ['in memory', false, async () => ({})],
  ['in Redis', noRedis, async () => ({ WEBDIST_REDIS_URL: await sharedRedisUrl() })],
] as const)
  t.test(backend, { skip }, async (t) => {
    for (const [name, { settings: limits, tokens, attack }] of Object.entries(attacks))
      await t.test(name, async (t) => {
        const service = await open(t as Test, { ...limits, ...(await settings()) });
        await attack(service);
        t.equal(service.issued(), tokens);
      });
  });

t.test('a new visitor counts under its address, not under a visitor limit that all new visitors share', async (t) => {
  const { page } = await open(t, { WEBDIST_RATE_LIMIT: '3', WEBDIST_RATE_LIMIT_ADDRESS: '20' });
  const answers: Answer[] = [];
  for (let n = 0; n < 15; n++) answers.push(await page());
  t.ok(answers.every(({ status }) => status === 200));
  const cookie = answers[0]?.cookie;
  for (const expected of [200, 200, 200, 429]) t.equal((await page(cookie)).status, expected);
});

t.test('the header fields show what a request of several tokens took', async (t) => {
  const { restore, updates, batch } = await open(t, {
    WEBDIST_RATE_LIMIT_ADDRESS: '20',
    WEBDIST_RATE_LIMIT_TOTAL: '100',
    WEBDIST_API_KEYS: `shop:${sha256}:50`,
  });
  t.match((await restore(appsUpTo(4))).headers.get('ratelimit'), /^"address";r=16;t=\d+, "total";r=96;t=\d+$/);
  t.match((await updates(appsUpTo(4))).headers.get('ratelimit'), /^"address";r=15;t=\d+$/, 'no update, one token');
  t.match((await batch(8)).headers.get('ratelimit'), /^"api-key";r=42;t=\d+$/);
  const refused = await restore(appsUpTo(10)).then(() => restore(appsUpTo(10)));
  t.equal(refused.status, 429);
  t.match(refused.headers.get('ratelimit'), /^"address";r=0;t=\d+/);
});

t.test('one app of a batch beyond its limit does not affect the others', async (t) => {
  const { batch } = await open(t, { WEBDIST_RATE_LIMIT_APP: '2' });
  const { status, body } = await batch(0, [appAt(0), appAt(0), appAt(0), appAt(1)]);
  t.equal(status, 200);
  const codes = (body['results'] as { code?: string }[]).map(({ code }) => code ?? 'token');
  t.strictSame(codes, ['token', 'token', 'rate_limited', 'token']);
});

t.test('an API key with an end date is valid to the end of that day', async (t) => {
  for (const [now, expected] of [
    ['2027-01-31T23:59:59Z', 200],
    ['2027-02-01T00:00:00Z', 401],
    ['2030-01-01T00:00:00Z', 401],
  ] as const) {
    const settings = settingsOfApps(temporaryFolder(t), 1, { WEBDIST_API_KEYS: `shop:${sha256}::2027-01-31` });
    const { url } = await startReady(t, undefined, settings, { now: () => Date.parse(now) });
    t.equal((await post(`${url}/install-tokens`, { requests: [{}] }, server)).status, expected, now);
  }
});
