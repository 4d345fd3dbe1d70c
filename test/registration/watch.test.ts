import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import t from 'tap';
import { accountOf, openClient } from '../harness/app-store-connect.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { endFaults, requestsSeen, setFault, startSandbox } from '../harness/sandbox.ts';
import { startReady, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const newKey = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

/** Failures of App Store Connect, and the code under which the service reports each. */
const faults: [string, object, string][] = [
  ['down', { drop: true }, 'asc_outage'],
  ['answering 401', { status: 401 }, 'asc_credentials'],
  ['answering 403', { status: 403 }, 'asc_role'],
  [
    'waiting for an agreement',
    { status: 403, code: 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED' },
    'asc_agreement',
  ],
  ['answering 409', { status: 409 }, 'asc_conflict'],
  ['answering 429', { status: 429, retryAfterSeconds: 1 }, 'asc_rate'],
  ['answering 500', { status: 500 }, 'asc_outage'],
  ['answering HTML', { status: 200, html: true }, 'asc_outage'],
];

// Each case waits for the next attempt of a service, so all run at the same time.
t.jobs = faults.length;
for (const [name, fault, code] of faults) {
  t.test(`App Store Connect ${name}`, { buffered: true }, async (t) => {
    const sandbox = await startSandbox(t);
    const dataDir = temporaryFolder(t);
    const first = await startReady(t, sandbox, { WEBDIST_DATA_DIR: dataDir });
    const { keyId } = (await (await askToken(first.url)).json()) as { keyId: string };
    await first.stop();
    await setFault(sandbox, fault);

    const again = await startService(t, sandbox, { WEBDIST_DATA_DIR: dataDir });
    t.equal(again.service.health().ready, true, 'a service that has run before is ready at once');
    t.match(await (await askToken(again.url)).json(), { keyId }, 'and signs with the stored key id');
    const noticed = () => again.service.health().apps['com.example.trailmap']?.registration;
    await until(() => noticed()?.state === 'degraded', 'the fault to be noticed');
    t.match(noticed(), { state: 'degraded', code, detail: /\w/ });
    t.equal((await askToken(again.url)).status, 200, 'and signing continues');

    const fresh = await startService(t, sandbox);
    await until(() => fresh.log.events('registration_problem')[0], 'the problem in the log');
    t.equal((await fetch(`${fresh.url}/health/live`)).status, 200, 'a new service is live');
    const ready = await fetch(`${fresh.url}/health/ready`);
    t.equal(ready.status, 503);
    t.match(await ready.json(), {
      ready: false,
      apps: { 'com.example.trailmap': { registration: { state: 'down', code } } },
    });
    const refused = await askToken(fresh.url);
    t.equal(refused.status, 503);
    t.match(refused.headers.get('retry-after'), /^\d+$/);
    t.match(await refused.json(), { code: 'not_registered' });

    await endFaults(sandbox);
    await until(() => fresh.service.health().ready, 'the new service to become ready by itself', 70);
    t.match(await (await askToken(fresh.url)).json(), { keyId }, 'with the same key');
  });
}

for (const clockSkewSeconds of [300, -300, -7200])
  t.test(`Apple's clock is ${clockSkewSeconds} s ahead: requests succeed, no tokens until it agrees`, async (t) => {
    const sandbox = await startSandbox(t);
    await setFault(sandbox, { clockSkewSeconds });
    const { service, url, log } = await startService(t, sandbox);
    await until(() => service.health().clock.state === 'down', 'the difference to be found');
    await until(() => service.health().domain.state === 'ok', 'the domain to be registered all the same');
    const refused = await askToken(url);
    t.equal(refused.status, 503);
    t.equal(refused.headers.get('retry-after'), '60');
    t.match(await refused.json(), { code: 'clock_off', detail: clockSkewSeconds < 0 ? /ahead of/ : /behind/ });
    const ready = await fetch(`${url}/health/ready`);
    t.equal(ready.status, 503);
    t.match(await ready.json(), {
      ready: false,
      clock: { state: 'down', code: 'clock_off', detail: /NTP/ },
      apps: { 'com.example.trailmap': { registration: { state: 'ok' } } },
    });
    t.equal(log.events('clock_off').length, 1, 'logged once');
    t.match(
      await (await fetch(`${url}/metrics`)).text(),
      new RegExp(`webdist_clock_offset_seconds (${clockSkewSeconds - 1}|${clockSkewSeconds}|${clockSkewSeconds + 1})`),
    );

    await endFaults(sandbox);
    for (let check = 0; check < 3; check++) await service.reconcile();
    t.equal(service.health().ready, true, 'ready again by itself');
    t.equal((await askToken(url)).status, 200);
    t.equal(log.events('clock_ok').length, 1);
  });

for (const clockSkewSeconds of [45, -45])
  t.test(`Apple's clock is ${clockSkewSeconds} s ahead: tokens are dated by the earlier of both`, async (t) => {
    const sandbox = await startSandbox(t);
    await setFault(sandbox, { clockSkewSeconds });
    const { url, service } = await startReady(t, sandbox);
    await service.reconcile();
    const { token } = (await (await askToken(url)).json()) as { token: string };
    const { iat, exp } = decodeJwt(token);
    const now = Date.now() / 1000;
    t.ok(iat !== undefined && iat <= Math.min(now, now + clockSkewSeconds) && iat >= now - 61, 'iat is in the past');
    t.ok(exp !== undefined && exp > Math.max(now, now + clockSkewSeconds) + 1000, 'and exp far off');
  });

t.test('one odd Date among many changes nothing', async (t) => {
  const sandbox = await startSandbox(t);
  const { url, service } = await startReady(t, sandbox);
  await service.reconcile();
  await setFault(sandbox, { clockSkewSeconds: -7200, times: 1 });
  await service.reconcile();
  t.equal(service.health().clock.state, 'ok');
  const { token } = (await (await askToken(url)).json()) as { token: string };
  t.ok(Math.abs(Date.now() / 1000 - (decodeJwt(token).iat ?? 0)) < 10);
});

t.test('a slow App Store Connect delays nothing', async (t) => {
  const sandbox = await startSandbox(t);
  const dataDir = temporaryFolder(t);
  await (await startReady(t, sandbox, { WEBDIST_DATA_DIR: dataDir })).stop();
  await setFault(sandbox, { latencyMs: 30_000 });
  const again = await startService(t, sandbox, { WEBDIST_DATA_DIR: dataDir });
  t.equal((await askToken(again.url)).status, 200);
  const fresh = await startService(t, sandbox);
  t.equal((await fetch(`${fresh.url}/livez`)).status, 200);
  t.equal((await askToken(fresh.url)).status, 503);
  await Promise.all([again.stop(), fresh.stop()]);
});

t.test('drift: a key removed at App Store Connect stops signing and is not registered again', async (t) => {
  const sandbox = await startSandbox(t);
  const { service, url, log } = await startReady(t, sandbox);
  await service.reconcile();
  const asc = openClient(t, accountOf(sandbox));
  for (const key of await asc.listKeys()) await asc.removeKey(key.id);
  await service.reconcile();
  t.equal(service.health().ready, false);
  t.equal((await askToken(url)).status, 503);
  t.equal(log.events('registration_drift').length, 1);
  const posts = await requestsSeen(sandbox, 'POST');
  t.strictSame(posts, ['POST /v1/alternativeDistributionKeys', 'POST /v1/alternativeDistributionDomains']);
});

t.test('drift: a removed domain is reported, and signing continues', async (t) => {
  const sandbox = await startSandbox(t);
  const { service, url } = await startReady(t, sandbox);
  await service.reconcile();
  const asc = openClient(t, accountOf(sandbox));
  for (const domain of await asc.listDomains()) await asc.removeDomain(domain.id);
  await service.reconcile();
  t.match(service.health(), { ready: true, domain: { state: 'degraded', code: 'registration_missing' } });
  t.equal((await askToken(url)).status, 200);
});

t.test('another key registered for the app is refused, and nothing is deleted', async (t) => {
  const sandbox = await startSandbox(t);
  await (await startReady(t, sandbox)).stop();
  const { service, log, url } = await startService(t, sandbox, { WEBDIST_KEY: 'env://OTHER', OTHER: newKey() });
  await service.reconcile();
  t.match(service.health().apps['com.example.trailmap'], {
    registration: { state: 'down', code: 'different_key_registered' },
  });
  t.match(
    log.text(),
    /SHA256:[0-9a-f]{64}.*held here: SHA256:[0-9a-f]{64}/,
    'the log says which was found and which is held',
  );
  t.equal((await askToken(url)).status, 503);
  t.strictSame(await requestsSeen(sandbox, 'DELETE'), []);
});

t.test('a second candidate signs when it is the registered one', async (t) => {
  const sandbox = await startSandbox(t);
  await (await startReady(t, sandbox)).stop();
  const key = `env://OTHER ${sandbox.settings['WEBDIST_KEY']}`;
  const { url } = await startReady(t, sandbox, { WEBDIST_KEY: key, OTHER: newKey() });
  t.equal((await askToken(url)).status, 200);
});

t.test('modes check and off create nothing', async (t) => {
  const sandbox = await startSandbox(t);
  const { service, stop } = await startService(t, sandbox, { WEBDIST_REGISTER: 'check' });
  await service.reconcile();
  t.match(service.health().apps['com.example.trailmap'], {
    registration: { state: 'down', code: 'registration_missing' },
  });
  t.strictSame(await requestsSeen(sandbox, 'POST'), []);
  await stop();
  await fetch(`${sandbox.baseUrl}/_sandbox/requests`, { method: 'DELETE' });
  const off = await startReady(t, sandbox, { WEBDIST_REGISTER: 'off', WEBDIST_KEY_ID: 'a-known-id' });
  t.match(await (await askToken(off.url)).json(), { keyId: 'a-known-id' });
  t.strictSame(await requestsSeen(sandbox), []);
});

t.test('account-wide scope registers one key for the account', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, { WEBDIST_KEY_SCOPE: 'account' });
  t.equal((await askToken(url)).status, 200);
});

t.test('a key file that becomes invalid changes nothing; one that is deleted stops signing', async (t) => {
  const sandbox = await startSandbox(t);
  const path = join(temporaryFolder(t), 'key.pem');
  const pem = newKey();
  writeFileSync(path, pem);
  const { service, url } = await startReady(t, sandbox, { WEBDIST_KEY: `file://${path}` });
  writeFileSync(path, 'garbage');
  await service.reconcile();
  t.match(service.health(), {
    ready: true,
    apps: { 'com.example.trailmap': { key: { state: 'degraded', code: 'key_invalid' } } },
  });
  t.equal((await askToken(url)).status, 200);
  const { unlinkSync } = await import('node:fs');
  unlinkSync(path);
  await service.reconcile();
  t.match(service.health(), {
    ready: false,
    apps: { 'com.example.trailmap': { key: { state: 'down', code: 'key_absent' } } },
  });
  writeFileSync(path, pem);
  await until(() => service.health().ready, 'the file to be noticed again');
});

t.test('keys that cannot be right are refused at start-up, with the reason', async (t) => {
  const sandbox = await startSandbox(t);
  const folder = temporaryFolder(t);
  const apiKey = Buffer.from(sandbox.settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString();
  writeFileSync(join(folder, 'AuthKey_2X9R4HXF34.p8'), newKey());
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  }) as string;
  const start = (settings: Record<string, string>) => startService(t, sandbox, settings);
  await t.rejects(start({ WEBDIST_KEY: 'env://K', K: apiKey }), {
    code: 'key_invalid',
    message: /is the App Store Connect API key/,
  });
  await t.rejects(start({ WEBDIST_KEY: `file://${folder}/AuthKey_2X9R4HXF34.p8` }), {
    code: 'key_invalid',
    message: /file name of a key that Apple made/,
  });
  await t.rejects(start({ WEBDIST_KEY: 'env://K', K: p384 }), {
    code: 'key_invalid',
    message: /com\.example\.trailmap.*curve secp384r1/,
  });
  await t.rejects(start({ WEBDIST_KEY: 'env://K' }), { code: 'key_absent', message: /variable K is not set/ });
});

t.test('a wrong AppleItemID is not reported as a wrong key', async (t) => {
  const { service } = await startService(t, await startSandbox(t), { WEBDIST_APPLE_ITEM_ID: '6500000002' });
  await service.reconcile();
  t.match(service.health().apps['com.example.trailmap'], {
    registration: { code: 'config_invalid', detail: /6500000001, not 6500000002/ },
  });
});
