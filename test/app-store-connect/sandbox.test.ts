/** The client and the registration against the sandbox, which was written only from Apple's pages. */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { ensureDomain, ensureKey, type WantedKey } from '../../src/app-store-connect/register.ts';
import { openSandbox } from '../../src/sandbox/sandbox.ts';
import { openLocalSigner } from '../../src/signer/local.ts';
import { accountOf, openClient } from '../harness/app-store-connect.ts';
import { newKey } from '../harness/stand-ins/app-store-connect.ts';

async function open(t: Test) {
  const sandbox = await openSandbox({ dataDir: t.testdir() });
  t.teardown(() => sandbox.close());
  const setting = (name: string) => sandbox.settings[name] ?? '';
  const fault = async (body: object) => {
    const method = 'POST';
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${sandbox.baseUrl}/_sandbox/faults`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`the sandbox refused the fault: ${await answer.text()}`);
  };
  const wantedKey: WantedKey = {
    appleItemId: setting('WEBDIST_APPLE_ITEM_ID'),
    bundleId: setting('WEBDIST_BUNDLE_ID'),
    scope: 'app',
    mode: 'ensure',
    candidates: [createPublicKey(createPrivateKey(readFileSync(new URL(setting('WEBDIST_KEY')))))],
  };
  const wantedDomain = { domain: setting('WEBDIST_DOMAIN'), referenceName: 'trailmap-web', mode: 'ensure' } as const;
  return { sandbox, fault, wantedKey, wantedDomain };
}

t.test('ten replicas start together against an empty account', async (t) => {
  const { sandbox, wantedKey, wantedDomain } = await open(t);
  const replicas = Array.from({ length: 10 }, () => openClient(t, accountOf(sandbox)));
  const ensured = await Promise.all(
    replicas.map(async (asc) => [await ensureKey(asc, wantedKey), await ensureDomain(asc, wantedDomain)] as const),
  );
  const [asc = openClient(t, accountOf(sandbox))] = replicas;
  const [keys, domains] = [await asc.listKeys(), await asc.listDomains()];
  t.strictSame([keys.length, domains.length], [1, 1]);
  t.ok(ensured.every(([key, domain]) => key.keyId === keys[0]?.id && domain.domainId === domains[0]?.id));
  t.match(asc.rateLimit, { limit: 3500 });
});

t.test('every operation, every form of PEM', async (t) => {
  const { sandbox, wantedKey, wantedDomain } = await open(t);
  const asc = openClient(t, accountOf(sandbox));
  t.equal(await asc.appKey(wantedKey.appleItemId), null);
  const { keyId, spki } = await ensureKey(asc, { ...wantedKey, scope: 'account' });
  t.equal((await ensureKey(asc, wantedKey)).keyId, keyId, 'an account-wide key serves the app');
  for (let spelling = 0; spelling < 4; spelling++) t.match(await asc.readKey(keyId), { id: keyId, spki });
  const own = await asc.addKey({ publicKey: newKey().publicKey, appleItemId: wantedKey.appleItemId });
  t.match(await asc.appKey(wantedKey.appleItemId), { id: own.id });
  await t.rejects(ensureKey(asc, wantedKey), { code: 'different_key_registered' });
  t.strictSame(
    (await asc.listKeys({ app: true })).map(({ id }) => id),
    [own.id],
  );
  await asc.removeKey(own.id);
  await t.rejects(asc.removeKey(own.id), { code: 'asc_not_found' });

  const { domainId } = await ensureDomain(asc, wantedDomain);
  const subdomain = await ensureDomain(asc, { ...wantedDomain, domain: `get.${wantedDomain.domain}` });
  t.strictSame(subdomain, { domainId, domain: wantedDomain.domain, created: false });
  t.match(await asc.readDomain(domainId), { domain: wantedDomain.domain, referenceName: 'trailmap-web' });
  await asc.removeDomain(domainId);
  await t.rejects(asc.readDomain(domainId), { code: 'asc_not_found' });
});

t.test('a POST whose response is lost', async (t) => {
  const { sandbox, fault, wantedKey, wantedDomain } = await open(t);
  const asc = openClient(t, accountOf(sandbox));
  await fault({ method: 'POST', drop: 'after' });
  t.ok((await ensureKey(asc, wantedKey)).keyId);
  t.ok((await ensureDomain(asc, wantedDomain)).domainId);
  t.strictSame([(await asc.listKeys()).length, (await asc.listDomains()).length], [1, 1]);
});

for (const clockSkewSeconds of [300, -300])
  t.test(`Apple's clock ${clockSkewSeconds} seconds ahead`, async (t) => {
    const { sandbox, fault, wantedKey } = await open(t);
    await fault({ clockSkewSeconds });
    t.ok((await ensureKey(openClient(t, accountOf(sandbox)), wantedKey)).created);
  });

t.test('an individual key; an In-App Purchase key is refused', async (t) => {
  const { sandbox, wantedKey } = await open(t);
  const { individualKey, inAppPurchaseKey } = sandbox;
  const signerOf = (pem: string) => openLocalSigner(pem, 'test').signer;
  const individual = openClient(t, {
    baseUrl: sandbox.baseUrl,
    keyId: individualKey.keyId,
    issuerId: undefined,
    signer: signerOf(individualKey.privateKeyPem),
  });
  t.ok((await ensureKey(individual, wantedKey)).created);
  const wrong = openClient(t, {
    baseUrl: sandbox.baseUrl,
    keyId: inAppPurchaseKey.keyId,
    issuerId: inAppPurchaseKey.issuerId,
    signer: signerOf(inAppPurchaseKey.privateKeyPem),
  });
  await t.rejects(ensureKey(wrong, wantedKey), { code: 'asc_credentials' });
});

t.test('each fault has its code', async (t) => {
  const { sandbox, fault, wantedKey } = await open(t);
  const asc = openClient(t, accountOf(sandbox));
  const faults: [object, { code: string; retryAfterSeconds?: number }][] = [
    [{ status: 403, code: 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED' }, { code: 'asc_agreement' }],
    [{ status: 403 }, { code: 'asc_role' }],
    [{ status: 401 }, { code: 'asc_credentials' }],
    [
      { status: 429, retryAfterSeconds: 600 },
      { code: 'asc_rate', retryAfterSeconds: 600 },
    ],
    [{ status: 503, html: true }, { code: 'asc_outage' }],
    [{ status: 200, html: true }, { code: 'asc_outage' }],
  ];
  for (const [body, error] of faults) {
    await fault(body);
    await t.rejects(ensureKey(asc, wantedKey), error, JSON.stringify(body));
  }
  await fetch(`${sandbox.baseUrl}/_sandbox/faults`, { method: 'DELETE' });
  await fault({ status: 500, times: 2 });
  t.ok((await ensureKey(asc, wantedKey)).created, 'and a short outage is waited out');
});
