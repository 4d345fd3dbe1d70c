import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';
import { ensureDomain, ensureKey, type WantedKey } from '../../src/app-store-connect/register.ts';
import { fingerprint, publicKeyPem, spki } from '../../src/jws.ts';
import {
  APP,
  type Apple,
  appleError,
  keyOf,
  newKey,
  openApple,
  openClient,
} from '../harness/stand-ins/app-store-connect.ts';

const [first, second, foreign] = [newKey().publicKey, newKey().publicKey, newKey().publicKey];
const wantedKey: WantedKey = { ...APP, scope: 'app', mode: 'ensure', candidates: [first, second] };
const wantedDomain = { domain: 'get.example.com', referenceName: 'trailmap-web', mode: 'ensure' } as const;
const posts = (apple: Apple) => apple.requests.filter(({ method }) => method !== 'GET').map(({ method }) => method);
const domainOf = (domain: string) => ({ id: `id of ${domain}`, domain, referenceName: '' });

t.test('an empty account: the first candidate is registered, once', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const created = await ensureKey(asc, wantedKey);
  t.match(apple.keys, [{ id: created.keyId, spki: spki(first), app: APP.appleItemId }]);
  t.strictSame(created, { keyId: apple.keys[0]?.id, spki: spki(first), candidate: 0, created: true });
  t.strictSame(await ensureKey(asc, wantedKey), { ...created, created: false });
  t.strictSame(posts(apple), ['POST']);
});

t.test('scope account: registered without an app', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const created = await ensureKey(asc, { ...wantedKey, scope: 'account' });
  t.match(apple.keys, [{ id: created.keyId, app: undefined }]);
  t.equal((await ensureKey(asc, { ...wantedKey, scope: 'account' })).keyId, created.keyId);
});

t.test('the app key decides which candidate signs, whatever the scope', async (t) => {
  const apple = await openApple(t);
  apple.keys.push(keyOf(first), keyOf(second, APP.appleItemId));
  const { asc } = openClient(t, apple);
  for (const scope of ['app', 'account'] as const)
    t.match(await ensureKey(asc, { ...wantedKey, scope }), { keyId: apple.keys[1]?.id, candidate: 1, created: false });
  t.strictSame(posts(apple), []);
});

t.test('a key of the account counts if the app has none; of several, the preferred one', async (t) => {
  const apple = await openApple(t);
  apple.pageSize = 1;
  apple.keys.push(keyOf(foreign), keyOf(second), keyOf(newKey().publicKey, 'another app'));
  const { asc } = openClient(t, apple);
  for (const mode of ['ensure', 'check'] as const)
    t.match(await ensureKey(asc, { ...wantedKey, mode }), { keyId: apple.keys[1]?.id, candidate: 1, created: false });
  apple.keys.push(keyOf(first));
  t.match(await ensureKey(asc, wantedKey), { keyId: apple.keys[3]?.id, candidate: 0 });
  t.strictSame(posts(apple), []);
});

t.test('another key is registered: refused with both fingerprints, nothing is deleted', async (t) => {
  const apple = await openApple(t);
  apple.keys.push(keyOf(foreign, APP.appleItemId), keyOf(first));
  const { asc } = openClient(t, apple);
  for (const mode of ['ensure', 'check'] as const) {
    const error = await ensureKey(asc, { ...wantedKey, mode }).catch((thrown: unknown) => thrown);
    t.match(error, { code: 'different_key_registered', hint: /webdist keys rotate/ });
    for (const key of [foreign, first, second]) t.match(error, { detail: fingerprint(spki(key)) });
  }
  t.strictSame(posts(apple), []);

  apple.keys.splice(0, 1, { ...keyOf(foreign, APP.appleItemId), publicKey: 'damaged' });
  await t.rejects(ensureKey(asc, wantedKey), { code: 'different_key_registered', detail: /cannot be read/ });
});

t.test('mode check creates nothing', async (t) => {
  const apple = await openApple(t);
  apple.keys.push(keyOf(foreign));
  const { asc } = openClient(t, apple);
  await t.rejects(ensureKey(asc, { ...wantedKey, mode: 'check' }), { code: 'registration_missing' });
  await t.rejects(ensureDomain(asc, { ...wantedDomain, mode: 'check' }), { code: 'registration_missing' });
  t.strictSame(posts(apple), []);
});

t.test('the app is checked before anything else', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const bothNamed = /com\.example\.trailmap.*6500000009|6500000009.*com\.example\.trailmap/;
  const wrong = ensureKey(asc, { ...wantedKey, appleItemId: '6500000009' });
  await t.rejects(wrong, { code: 'config_invalid', detail: bothNamed });
  apple.apps = [];
  await t.rejects(ensureKey(asc, { ...wantedKey, appleItemId: '6500000009' }), {
    code: 'registration_missing',
    detail: bothNamed,
  });
  await t.rejects(ensureKey(asc, { ...wantedKey, candidates: [] }), { code: 'key_absent' });
  t.ok(apple.requests.every(({ path }) => path === '/v1/apps'));
});

t.test('a key that App Store Connect created with another public half is never used', async (t) => {
  for (const publicKey of [publicKeyPem(foreign), publicKeyPem(second), 'garbage', undefined, '']) {
    const apple = await openApple(t);
    const { asc } = openClient(t, apple);
    apple.intercept = ({ method, reply }) =>
      method === 'POST' &&
      reply(201, { data: { type: 'alternativeDistributionKeys', id: 'k', attributes: { publicKey } } });
    await t.rejects(ensureKey(asc, wantedKey), {
      code: 'different_key_registered',
      message: /\(id k\) instead of SHA256/,
    });
  }
});

t.test('a resource of another type is not an answer', async (t) => {
  for (const type of ['apps', 'alternativeDistributionDomains', 'keys', undefined]) {
    const apple = await openApple(t);
    const { asc } = openClient(t, apple);
    apple.intercept = ({ method, reply }) =>
      method === 'POST' && reply(201, { data: { type, id: 'k', attributes: { publicKey: publicKeyPem(first) } } });
    await t.rejects(asc.addKey({ publicKey: first }), { code: 'asc_outage', message: /documented form, at type/ });
  }
});

t.test('a conflict that is not about our own key fails with Apple’s message', async (t) => {
  const apple = await openApple(t);
  // The same public half, registered for another app: it cannot be used for this one.
  apple.keys.push(keyOf(first, 'another app'));
  const { asc } = openClient(t, apple);
  await t.rejects(ensureKey(asc, wantedKey), {
    code: 'asc_conflict',
    detail: /ENTITY_ERROR\.ATTRIBUTE\.INVALID\.DUPLICATE/,
    hint: /WEBDIST_KEY_SCOPE=account/,
  });
  t.equal(apple.keys.length, 1);
});

t.test('another replica was faster, with another key that is held here too', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ method }) => {
    if (method === 'POST') apple.keys.push(keyOf(second, APP.appleItemId));
    return false;
  };
  const { asc } = openClient(t, apple);
  t.match(await ensureKey(asc, wantedKey), { keyId: apple.keys[0]?.id, candidate: 1, created: false });
});

t.test('another replica replaced the key right afterwards: the key registered now signs', async (t) => {
  const apple = await openApple(t);
  apple.intercept = (call) => {
    if (call.method !== 'POST') return false;
    apple.keys.push(keyOf(second, APP.appleItemId));
    return call.reply(201, { data: { id: 'replaced', attributes: { publicKey: publicKeyPem(first) } } });
  };
  const { asc } = openClient(t, apple);
  t.match(await ensureKey(asc, wantedKey), { keyId: apple.keys[0]?.id, candidate: 1 });
});

const lost: [string, (apple: Apple) => Apple['intercept']][] = [
  [
    'the connection breaks',
    () =>
      ({ res }) =>
        res.destroy(),
  ],
  [
    '500',
    () =>
      ({ reply }) =>
        reply(500),
  ],
  [
    '201 with HTML',
    () =>
      ({ reply }) =>
        reply(201, '<html>'),
  ],
];
for (const [name, fault] of lost)
  t.test(`creation was done but ${name}: found by reading again`, async (t) => {
    const apple = await openApple(t);
    apple.intercept = (call) => {
      if (call.method !== 'POST') return false;
      apple.apply(call);
      return fault(apple)?.(call);
    };
    const { asc } = openClient(t, apple);
    t.match(await ensureKey(asc, wantedKey), { spki: spki(first), candidate: 0 });
    t.match(await ensureDomain(asc, wantedDomain), { domain: 'get.example.com' });
    t.strictSame(posts(apple), ['POST', 'POST']);
    t.strictSame([apple.keys.length, apple.domains.length], [1, 1]);
  });

t.test('nothing was created: one attempt, one check, then the error', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  apple.intercept = ({ method, res }) => (method === 'POST' ? res.destroy() : false);
  await t.rejects(ensureKey(asc, wantedKey), { code: 'asc_outage' });
  await t.rejects(ensureDomain(asc, wantedDomain), { code: 'asc_outage' });
  apple.intercept = ({ method, reply }) => (method === 'POST' ? reply(403, appleError(403, 'FORBIDDEN_ERROR')) : false);
  await t.rejects(ensureKey(asc, wantedKey), { code: 'asc_role' });
  await t.rejects(ensureDomain(asc, wantedDomain), { code: 'asc_role' });
  t.equal(posts(apple).length, 4);
});

t.test('domains: itself before a parent, the closest parent, never a look-alike', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const ensured = async (registered: string[], domain: string = wantedDomain.domain) => {
    apple.domains.splice(0, Infinity, ...registered.map(domainOf));
    const { domain: found, created } = await ensureDomain(asc, { ...wantedDomain, domain });
    return [found, created];
  };
  t.strictSame(await ensured(['example.com']), ['example.com', false]);
  t.strictSame(await ensured(['example.com', 'get.example.com']), ['get.example.com', false]);
  t.strictSame(await ensured(['Example.COM.']), ['example.com', false]);
  t.strictSame(await ensured(['example.com', 'eu.example.com'], 'a.eu.example.com'), ['eu.example.com', false]);
  t.strictSame(await ensured(['münchen.example'], 'get.xn--mnchen-3ya.example'), ['xn--mnchen-3ya.example', false]);

  const lookAlikes = [
    'notexample.com',
    'ample.com',
    'example.com.evil.test',
    'a.get.example.com',
    'get.example.co',
    '',
  ];
  t.strictSame(await ensured(lookAlikes), ['get.example.com', true]);
  t.equal(apple.domains.at(-1)?.referenceName, 'trailmap-web');
  t.strictSame(await ensured([], 'Get.München.example'), ['get.xn--mnchen-3ya.example', true]);
  await t.rejects(ensured([], 'https://example.com'), { code: 'config_invalid' });
});

t.test('ten replicas start together against an empty account', async (t) => {
  const apple = await openApple(t);
  const replicas = Array.from({ length: 10 }, () => openClient(t, apple).asc);
  const ensured = await Promise.all(
    replicas.map(async (asc) => [await ensureKey(asc, wantedKey), await ensureDomain(asc, wantedDomain)] as const),
  );
  t.strictSame([apple.keys.length, apple.domains.length], [1, 1]);
  t.strictSame([...new Set(ensured.map(([key]) => key.keyId))], [apple.keys[0]?.id]);
  t.strictSame([...new Set(ensured.map(([, domain]) => domain.domainId))], [apple.domains[0]?.id]);
  t.equal(ensured.filter(([key]) => key.created).length, 1);
  t.equal(ensured.filter(([, domain]) => domain.created).length, 1);
});

const noOpenssl = spawnSync('openssl', ['version']).status !== 0 && 'openssl is not installed';
t.test('the fingerprint is the one openssl shows', { skip: noOpenssl }, async (t) => {
  const openssl = (args: string[], input: string | Buffer) => execFileSync('openssl', args, { input });
  const der = openssl(['pkey', '-pubin', '-outform', 'DER'], publicKeyPem(first));
  const digest = openssl(['dgst', '-sha256', '-r'], der).toString().split(' ')[0];
  t.equal(fingerprint(spki(first)), `SHA256:${digest}`);
});
