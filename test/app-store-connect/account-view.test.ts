/** A check of many apps needs few requests, misses nothing that the lists show, and stops at "limit used up". */

import t, { type Test } from 'tap';
import { type CheckedApp, openAccountViews } from '../../src/app-store-connect/account-view.ts';
import { ensureKey } from '../../src/app-store-connect/register.ts';
import { spki } from '../../src/jws.ts';
import {
  type Apple,
  appleError,
  keyOf,
  newKey,
  openApple,
  openClient,
} from '../harness/stand-ins/app-store-connect.ts';

const COUNT = 200;

/** Apps that each have a key. `check` checks all of them with one view, as a server does, and counts the requests. */
async function openApps(t: Test, { scope = 'app' as 'app' | 'account', count = COUNT } = {}) {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const shared = newKey();
  const apps = Array.from({ length: count }, (_, index) => ({
    appleItemId: `${6_500_000_000 + index}`,
    bundleId: `com.example.app${index}`,
    key: scope === 'account' ? shared : newKey(),
    keyId: undefined as string | undefined,
  }));
  apple.apps = apps;
  const views = openAccountViews();
  const check = async (mode: 'ensure' | 'check' = 'check') => {
    const before = apple.requests.length;
    const checked: CheckedApp[] = apps.map((app) => ({ ...app, held: [spki(app.key.publicKey)] }));
    const account = views.open(asc, checked);
    const failed: string[] = [];
    for (const app of apps) {
      const { appleItemId, bundleId, key } = app;
      app.keyId = await ensureKey(account, { appleItemId, bundleId, scope, mode, candidates: [key.publicKey] }).then(
        ({ keyId }) => keyId,
        (error) => {
          failed.push(error.code);
          return undefined;
        },
      );
    }
    return { requests: apple.requests.length - before, failed };
  };
  return { apple, apps, check };
}

const addKeys = (apple: Apple, apps: readonly { key: ReturnType<typeof newKey>; appleItemId: string }[]) =>
  apple.keys.push(...apps.map(({ key, appleItemId }) => keyOf(key.publicKey, appleItemId)));

t.test('200 apps with keys: one request each the first time, then a dozen for all', async (t) => {
  const { apple, apps, check } = await openApps(t);
  addKeys(apple, apps);
  t.strictSame(await check(), { requests: COUNT + 3, failed: [] });
  t.strictSame(await check(), { requests: 3 + 8, failed: [] });
  t.strictSame(await check(), { requests: 3 + 8, failed: [] });
});

t.test('key ids remembered from an earlier run need no request each', async (t) => {
  const { apple, apps, check } = await openApps(t);
  addKeys(apple, apps);
  for (const app of apps) app.keyId = apple.keys.find((key) => key.app === app.appleItemId)?.id;
  t.strictSame(await check(), { requests: 3 + 8, failed: [] });
});

t.test('200 apps without keys: two requests each', async (t) => {
  const { check } = await openApps(t);
  t.strictSame(await check('ensure'), { requests: 2 * COUNT + 4, failed: [] });
  t.strictSame(await check(), { requests: 3 + 8, failed: [] });
});

t.test('200 apps with one key of the account', async (t) => {
  const { check } = await openApps(t, { scope: 'account' });
  const first = await check('ensure');
  t.strictSame(first.failed, []);
  t.ok(first.requests < 10, `${first.requests} requests`);
  t.ok((await check()).requests < 15);
});

t.test('what changes at App Store Connect is noticed', async (t) => {
  const { apple, apps, check } = await openApps(t);
  addKeys(apple, apps);
  await check();
  const [first, second] = apps;
  if (!first || !second) return t.fail('no apps');

  apple.keys.splice(
    apple.keys.findIndex((key) => key.app === second.appleItemId),
    1,
  );
  t.strictSame((await check()).failed, ['registration_missing'], 'a removed key');
  t.strictSame((await check()).failed, ['registration_missing'], 'and again, with few requests');
  apple.keys.push(keyOf(newKey().publicKey, second.appleItemId));
  addKeys(apple, [second]);
  apple.keys.splice(-2, 1);
  t.strictSame((await check()).failed, [], 'the held key, added again');

  apple.keys.splice(
    apple.keys.findIndex((key) => key.app === first.appleItemId),
    1,
    keyOf(newKey().publicKey, first.appleItemId),
  );
  t.strictSame((await check()).failed, ['different_key_registered'], 'a key replaced by another');

  const third = apps[2];
  apple.keys.unshift(keyOf(newKey().publicKey, third?.appleItemId));
  let checks = 0;
  while ((await check()).failed.length < 2) if (++checks > COUNT / 8 + 1) break;
  t.ok(checks <= COUNT / 8 + 1, `a second key beside the first: after ${checks} more checks`);

  apple.keys.length = 0;
  t.equal((await check()).failed.length, COUNT, 'all keys removed');
  t.ok((await check()).requests < 15, 'and then again few requests');
});

for (const [name, allowed] of [
  ['at the first request', 0],
  ['in the lists', 2],
  ['among the apps', 50],
] as const)
  t.test(`the hourly limit is used up ${name}: nothing more is sent`, async (t) => {
    const { apple, apps, check } = await openApps(t);
    addKeys(apple, apps);
    apple.intercept = ({ reply }) =>
      apple.requests.length > allowed ? reply(429, appleError(429, 'RATE_LIMIT_EXCEEDED')) : false;
    const { requests, failed } = await check();
    t.equal(requests, allowed + 1);
    t.strictSame([...new Set(failed)], ['asc_rate']);
  });
