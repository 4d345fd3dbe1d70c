/** The requests of devices over real sockets: configuration, restore, updates (docs/http-api.md, docs/apple-facts.md §3). */

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { listen } from '../harness/port.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { settingsOfApps, startReady } from '../harness/service.ts';

const APP = '6500000001';
const LICENSE = { WEBDIST_LICENSE_DYNAMIC_URL: 'https://example.com/ald/license' };
const generous = { WEBDIST_RATE_LIMIT: '1000000', WEBDIST_RATE_LIMIT_ADDRESS: '1000000' };

type Entry = {
  appleItemId: string;
  appleVersionId: string;
  alternativeDistributionPackage: string;
  installVerificationToken: string;
  failure: { code: number; description: string };
};
type Answer = { restores?: Entry[]; updates?: Entry[]; failures?: Entry[]; code?: string };

export const claimsOf = (installToken: string) =>
  JSON.parse(Buffer.from(installToken.split('.')[1] ?? '', 'base64url').toString()) as Record<string, string>;

async function ask(url: string, kind: 'restore' | 'updates', body: object, accessToken?: string) {
  const answer = await fetch(`${url}/marketplace-kit/${kind}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(accessToken && { authorization: `Bearer ${accessToken}` }) },
    body: JSON.stringify({ platform: 'iOS', osVersion: '18.5', ...body }),
  });
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Answer };
}

const known = (appleVersionId = '2000000042') => ({ apps: [{ appleItemId: APP, appleVersionId }] });

/** The link for a device cookie, and the access token that its `token` is exchanged for. */
async function accessTokenOf(url: string, headers: Record<string, string> = {}) {
  const issued = await askToken(url, {}, headers);
  const { installUrl, dtype } = (await issued.json()) as { installUrl: string; dtype: string };
  const subjectToken = new URLSearchParams(installUrl.split('?')[1]).get('token') ?? '';
  const answer = await fetch(`${url}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subjectToken,
    }),
  });
  const { access_token } = (await answer.json()) as { access_token: string };
  return { accessToken: access_token, dtype, cookie: issued.headers.getSetCookie()[0]?.split(';')[0] ?? '' };
}

/** Serves a manifest that can be changed. */
async function manifestServer(t: Test, change: object = {}) {
  const manifest = {
    appleItemId: APP,
    bundleId: 'com.example.trailmap',
    appleVersionId: '2000000057',
    shortVersionString: '1.4.0',
    bundleVersion: '57',
    platforms: ['ios'],
    minimumSystemVersions: { ios: '17.5' },
    ...change,
  };
  const server = createServer((_, response) => response.end(JSON.stringify(manifest)));
  t.teardown(() => server.close());
  return `http://127.0.0.1:${await listen(server)}/manifest.json`;
}

t.test('the configuration: exact bytes, no redirect, overrides at the end', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, LICENSE);
  const answer = await fetch(`${url}/.well-known/marketplace-kit`, { redirect: 'error' });
  t.equal(answer.headers.get('content-type'), 'application/json');
  t.match(answer.headers.get('cache-control'), /max-age/);
  const bytes = Buffer.from(await answer.arrayBuffer());
  t.match(JSON.parse(bytes.toString()), {
    license: { dynamicLicenseURL: 'https://example.com/ald/license' },
    restore: 'https://example.com/marketplace-kit/restore',
    updates: { url: 'https://example.com/marketplace-kit/updates', pollingInterval: 24 },
  });
  const etag = answer.headers.get('etag') ?? '';
  const again = await fetch(`${url}/.well-known/marketplace-kit`, { headers: { 'if-none-match': etag } });
  t.equal(again.status, 304);
});

t.test('link, restore and later installs belong to one subject', async (t) => {
  const sandbox = await startSandbox(t);
  let now = Date.now();
  const service = await startReady(t, sandbox, { ...LICENSE, ...generous }, { now: () => now });
  const { accessToken, dtype, cookie } = await accessTokenOf(service.url);
  t.equal(dtype, 'download');
  const restore = await ask(service.url, 'restore', known(), accessToken);
  t.equal(restore.status, 200);
  t.equal(restore.headers.get('cache-control'), 'no-store');
  const entry = restore.body.restores?.[0];
  t.match(entry, { appleItemId: APP, appleVersionId: '2000000042', appShareURL: 'https://example.com/trailmap' });
  t.match(claimsOf(entry?.installVerificationToken ?? ''), { dtype: 'download', vid: '2000000042', iid: APP });
  t.notOk(restore.body.failures);
  t.equal(service.log.events('install_token_issued').length, 2, 'one line for each token');

  now += 1300_000;
  const later = await accessTokenOf(service.url, { cookie });
  t.equal(later.dtype, 'redownload', 'the restore was evidence');
  const back = await ask(service.url, 'restore', known(), later.accessToken);
  t.equal(claimsOf(back.body.restores?.[0]?.installVerificationToken ?? '')['dtype'], 'redownload');
  const other = await accessTokenOf(service.url);
  t.equal(other.dtype, 'download', 'another device is another subject');
});

t.test('a restore has the dtype that the server set for its link', async (t) => {
  const key = randomBytes(16).toString('hex');
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, {
    ...LICENSE,
    WEBDIST_API_KEYS: `shop:${createHash('sha256').update(key).digest('hex')}`,
  });
  const answer = await fetch(`${url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ subject: 'customer-1', dtype: 'redownload' }),
  });
  const { installUrl } = (await answer.json()) as { installUrl: string };
  const linkToken = new URLSearchParams(installUrl.split('?')[1]).get('token') ?? '';
  t.notMatch(Buffer.from(linkToken, 'base64url').toString('latin1') + linkToken, /customer-1/);
  const exchanged = await fetch(`${url}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: linkToken,
    }),
  });
  const { access_token } = (await exchanged.json()) as { access_token: string };
  const { body } = await ask(url, 'restore', known(), access_token);
  t.equal(claimsOf(body.restores?.[0]?.installVerificationToken ?? '')['dtype'], 'redownload');
});

t.test('without a subject, a restore is a redownload, and so is an update', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, { WEBDIST_PACKAGE_MANIFEST: await manifestServer(t) });
  const restore = await ask(url, 'restore', { ...known('2000000057'), unknown: { member: 1 } });
  t.equal(claimsOf(restore.body.restores?.[0]?.installVerificationToken ?? '')['dtype'], 'redownload');
  const update = await ask(url, 'updates', known('2000000042'));
  t.match(update.body.updates, [
    { appleVersionId: '2000000057', bundleVersion: '57', shortVersionString: '1.4.0', appleItemId: APP },
  ]);
  t.match(claimsOf(update.body.updates?.[0]?.installVerificationToken ?? ''), {
    dtype: 'redownload',
    vid: '2000000057',
  });
  t.strictSame((await ask(url, 'updates', known('2000000057'))).body, { updates: [] }, 'it has the newest');
  t.strictSame((await ask(url, 'updates', known('2000000099'))).body, { updates: [] }, 'never an older one');
  t.equal((await ask(url, 'restore', known('2000000042'))).body.restores?.[0]?.appleVersionId, '2000000057');
});

t.test('platform and system version decide which version a device gets', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, { WEBDIST_PACKAGE_MANIFEST: await manifestServer(t) });
  const outcome = async (device: object) => {
    const { body } = await ask(url, 'restore', { ...known('2000000057'), ...device });
    return body.restores?.length === 1 ? 'served' : body.failures?.[0]?.failure.code;
  };
  t.equal(await outcome({ osVersion: '17.4.1' }), 404);
  t.equal(await outcome({ osVersion: '17.5' }), 'served');
  t.equal(await outcome({ osVersion: '17.10' }), 'served', 'numbers, not text');
  t.equal(await outcome({ platform: 'iPadOS' }), 'served');
  t.equal(await outcome({ platform: 'iPadOS', osVersion: '17.0' }), 404);
  t.equal(await outcome({ platform: 'visionOS' }), 404);
  t.strictSame((await ask(url, 'updates', { ...known(), osVersion: '16.0' })).body, { updates: [] });
});

t.test('a hundred apps, some malformed: each is answered separately, in one pass', async (t) => {
  const { url } = await startReady(t, undefined, settingsOfApps(temporaryFolder(t), 100, LICENSE));
  const apps = Array.from({ length: 100 }, (_, index) =>
    index % 10 === 3
      ? { appleItemId: `77000000${index}`, appleVersionId: '1' }
      : index === 50
        ? { appleItemId: 'nonsense' }
        : { appleItemId: String(6500000100 + index), appleVersionId: '2000000042' },
  );
  const { status, body } = await ask(url, 'restore', { apps });
  t.equal(status, 200);
  t.equal(body.restores?.length, 89);
  t.equal(body.failures?.length, 11);
  t.ok(body.failures?.every(({ failure }) => failure.code === 404));
  const nonces = body.restores?.map((entry) => claimsOf(entry.installVerificationToken)['nonce']);
  t.equal(new Set(nonces).size, 89, 'no token is given twice');
  t.equal((await ask(url, 'restore', { apps: Array(201).fill(apps[0]) })).status, 400);
  t.equal((await ask(url, 'restore', { apps, padding: 'x'.repeat(70_000) })).status, 413);
  t.equal((await ask(url, 'restore', { apps: 'none' })).body.code, 'invalid_request');
});

t.test('ids are read in each form that Apple’s pages have, and a failure repeats them', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), LICENSE);
  for (const entry of [
    { appleItemId: '6500000001', appleVersionId: '2000000042' },
    { appleItemId: '6500000001', appleVersionID: '2000000042' },
    { appleItemID: '6500000001', appleVersionID: '2000000042' },
    { appleItemId: 6500000001, appleVersionId: 2000000042 },
  ]) {
    const { body } = await ask(url, 'restore', { apps: [entry], platform: 'iOS', osVersion: '18.5' });
    t.match(body.restores, [{ appleItemId: '6500000001', appleVersionId: '2000000042' }], JSON.stringify(entry));
  }
  for (const [entry, ids] of [
    [{ appleItemId: '6500000001' }, ['6500000001', '']],
    [{ appleItemID: 6500000001, appleVersionID: 'x' }, ['6500000001', 'x']],
    [{ appleItemId: '6500000001', appleVersionId: '18446744073709551616' }, ['6500000001', '18446744073709551616']],
    [{ appleItemId: 'x'.repeat(65), appleVersionId: {} }, ['', '']],
    [null, ['', '']],
    ['text', ['', '']],
  ] as const) {
    const { body } = await ask(url, 'restore', { apps: [entry] });
    const [appleItemId, appleVersionId] = ids;
    t.match(body.failures, [{ appleItemId, appleVersionId, failure: { code: 404 } }], JSON.stringify(entry));
  }
});

t.test('a required credential: 401 without one, 403 with an invalid one', async (t) => {
  const sandbox = await startSandbox(t);
  let now = Date.now();
  const settings = { ...LICENSE, WEBDIST_DEVICE_CREDENTIAL: 'required' };
  const { url } = await startReady(t, sandbox, settings, { now: () => now });
  const missing = await ask(url, 'restore', known());
  t.equal(missing.status, 401);
  t.equal(missing.headers.get('www-authenticate'), 'Bearer');
  const { accessToken } = await accessTokenOf(url);
  t.equal((await ask(url, 'restore', known(), `${accessToken.slice(0, -3)}AAA`)).status, 403);
  t.equal((await ask(url, 'updates', known(), 'nonsense')).status, 403);
  t.equal((await ask(url, 'restore', known(), accessToken)).status, 200);
  now += 3700_000;
  t.equal((await ask(url, 'restore', known(), accessToken)).status, 403, 'it has ended');
});

t.test('a hold and a staged share stop a release', async (t) => {
  const sandbox = await startSandbox(t);
  const folder = temporaryFolder(t);
  const manifest = await manifestServer(t);
  const start = async (rule: object) => {
    const { WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_KEY, WEBDIST_PACKAGE_URL, ...others } = sandbox.settings;
    delete (others as Record<string, string>)['WEBDIST_PACKAGE_MANIFEST'];
    delete (others as Record<string, string>)['WEBDIST_APP_SHARE_URL'];
    const file = join(folder, `${randomBytes(4).toString('hex')}.json`);
    const app = {
      appleItemId: WEBDIST_APPLE_ITEM_ID,
      bundleId: WEBDIST_BUNDLE_ID,
      key: WEBDIST_KEY,
      packageUrl: WEBDIST_PACKAGE_URL,
      packageManifest: manifest,
      versions: { '2000000057': rule },
    };
    writeFileSync(file, JSON.stringify({ apps: [app] }));
    const data = temporaryFolder(t);
    return startReady(t, undefined, {
      ...others,
      ...LICENSE,
      ...generous,
      WEBDIST_CONFIG: file,
      WEBDIST_DATA_DIR: data,
    });
  };
  const held = await start({ hold: true });
  t.strictSame((await ask(held.url, 'updates', known())).body, { updates: [] });
  t.match((await ask(held.url, 'restore', known('2000000057'))).body.failures?.[0]?.failure, {
    code: 404,
    description: /on hold/,
  });
  await held.stop();
  const staged = await start({ percent: 50 });
  const offered: boolean[] = [];
  for (let device = 0; device < 40; device++) {
    const { accessToken } = await accessTokenOf(staged.url);
    const first = (await ask(staged.url, 'updates', known(), accessToken)).body.updates?.length === 1;
    t.equal((await ask(staged.url, 'updates', known(), accessToken)).body.updates?.length === 1, first, 'it stays so');
    offered.push(first);
  }
  const share = offered.filter(Boolean).length;
  t.ok(share > 5 && share < 35, `${share} of 40 devices`);
});

t.test('an app that is named twice is answered once', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, { WEBDIST_PACKAGE_MANIFEST: await manifestServer(t) });
  const app = { appleItemId: APP, appleVersionId: '2000000042' };
  for (const [name, apps] of Object.entries({
    'two hundred times': Array(200).fill(app),
    'as a string and as a number': [app, { ...app, appleItemId: Number(APP) }],
    'with two versions': [app, { ...app, appleVersionId: '2000000041' }],
  })) {
    t.equal((await ask(url, 'restore', { apps })).body.restores?.length, 1, `restore: ${name}`);
    t.equal((await ask(url, 'updates', { apps })).body.updates?.length, 1, `updates: ${name}`);
  }
  const other = { appleItemId: '77', appleVersionId: '1' };
  t.equal(
    (await ask(url, 'restore', { apps: [other, other] })).body.failures?.length,
    1,
    'and so is one that is not offered',
  );
});

t.test('unknown members are ignored, whatever their names', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), generous);
  for (const member of ['"another":1', '"__proto__":{"apps":[]}', '"constructor":{"prototype":{}}', '"toString":{}']) {
    const app = `{${member},"appleItemId":"${APP}","appleVersionId":"2000000042"}`;
    for (const body of [`{${member},"apps":[${app}]}`, `{"apps":[${app}],${member}}`]) {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${url}/marketplace-kit/restore`, { method: 'POST', headers, body });
      t.match([answer.status, await answer.json()], [200, { restores: [{ appleItemId: APP }] }], body);
    }
  }
});

t.test('while the manifest cannot be read, a version that only the caller names is not signed', async (t) => {
  const { url } = await startReady(t, undefined, settingsOfApps(temporaryFolder(t), 1, LICENSE));
  for (const appleVersionId of ['18446744073709551615', '1', '2000000042', 7]) {
    const { status, body } = await ask(url, 'restore', { apps: [{ appleItemId: '6500000100', appleVersionId }] });
    t.equal(status, 200);
    const claims = claimsOf(body.restores?.[0]?.installVerificationToken ?? '');
    t.notOk('vid' in claims, `no vid for ${appleVersionId}`);
    t.equal(body.restores?.[0]?.appleVersionId, String(appleVersionId), 'the answer names the version of the request');
  }
});

t.test('WEBDIST_ANONYMOUS=none: devices need an access token, too', async (t) => {
  const none = { ...LICENSE, WEBDIST_ANONYMOUS: 'none' };
  const { url } = await startReady(t, undefined, settingsOfApps(temporaryFolder(t), 1, none));
  for (const kind of ['restore', 'updates'] as const) {
    t.equal((await ask(url, kind, known())).status, 401, kind);
    t.equal((await ask(url, kind, known(), 'nonsense')).status, 403, `${kind} with an invalid one`);
  }
});
