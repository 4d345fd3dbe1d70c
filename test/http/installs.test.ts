/** Evidence of installs and its effect on `dtype`, over HTTP (docs/http-api.md, "Installs"). */

import { createHash, randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { post } from '../harness/http.ts';
import { settingsIn, startService } from '../harness/service.ts';

const LIFETIME_MS = 1200 * 1000;
const KEY = 'key-of-the-licence-server';
const AS_SERVER = { authorization: `Bearer ${KEY}` };

/** A service whose clock the test sets. */
async function openWith(test: Test, more: Environment = {}) {
  let nowMs = Date.UTC(2026, 10, 21);
  const env = settingsIn(test.testdir(), {
    WEBDIST_LEDGER: 'memory:',
    WEBDIST_API_KEYS: `licence:${createHash('sha256').update(KEY).digest('hex')}`,
    ...more,
  });
  const service = await startService(test, undefined, env, { now: () => nowMs });
  const ask = (body: object = {}, headers: Record<string, string> = {}) =>
    post(`${service.url}/install-token`, body, headers);
  return {
    ...service,
    ask,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** A visitor of a page: a token, and the device cookie. */
    async visitor() {
      const { body, cookie = '' } = await ask();
      return { nonce: body['nonce'] as string, cookie, dtype: async () => (await ask({}, { cookie })).body['dtype'] };
    },
    used: (body: object, headers: Record<string, string> = {}) => post(`${service.url}/installs`, body, headers),
  };
}

t.test('a tap counts: download for one lifetime, then redownload', async (test) => {
  const { visitor, used, pass } = await openWith(test);
  const { nonce, cookie, dtype } = await visitor();
  pass(10 * LIFETIME_MS);
  test.equal(await dtype(), 'download', 'viewing the page is not evidence');
  test.equal((await used({ nonce }, { cookie })).status, 204);
  test.equal((await used({ nonce }, { cookie })).status, 204, 'repeated');
  pass(LIFETIME_MS - 1000);
  test.equal(await dtype(), 'download');
  pass(1000);
  test.equal(await dtype(), 'redownload');
});

t.test(
  'evidence that does not belong to the caller changes nothing, and the response does not reveal it',
  async (test) => {
    const { visitor, used, pass } = await openWith(test);
    const [victim, attacker] = [await visitor(), await visitor()];
    const forged = attacker.cookie.replace(/=.*/, `=${/=([^.]*)/.exec(victim.cookie)?.[1]}.forged`);
    const attempts = {
      'own nonce': await used({ nonce: attacker.nonce }, { cookie: attacker.cookie }),
      "another's nonce": await used({ nonce: victim.nonce }, { cookie: attacker.cookie }),
      'without a cookie': await used({ nonce: victim.nonce }),
      'with a forged cookie': await used({ nonce: victim.nonce }, { cookie: forged }),
      'a nonce that never was': await used({ nonce: randomUUID() }, { cookie: attacker.cookie }),
    };
    const seen = (answer: (typeof attempts)['own nonce']) => {
      const headers = Object.fromEntries(answer.headers);
      for (const name of ['date', 'x-request-id', 'ratelimit']) delete headers[name];
      return { status: answer.status, body: answer.body, headers };
    };
    for (const [name, attempt] of Object.entries(attempts))
      test.strictSame(seen(attempt), seen(attempts['own nonce']), name);
    pass(LIFETIME_MS);
    test.equal(await victim.dtype(), 'download');
    test.equal(await attacker.dtype(), 'redownload');
  },
);

t.test('a visitor can neither choose its dtype nor forge a cookie', async (test) => {
  const { ask, visitor, used, pass } = await openWith(test);
  const installed = await visitor();
  await used({ nonce: installed.nonce }, { cookie: installed.cookie });
  pass(LIFETIME_MS);
  for (const [name, value] of Object.entries({ dtype: 'download', subject: 'x', country: 'DE', version: '1' }))
    test.strictSame((await ask({ [name]: value }, { cookie: installed.cookie })).body['code'], 'forbidden', name);
  for (const redownload of [true, false])
    test.equal((await ask({ redownload }, { cookie: installed.cookie })).body['dtype'], 'redownload', 'ignored');
  test.equal((await ask({ redownload: true })).body['dtype'], 'download', 'ignored for a new device, too');
  const [name, value = ''] = installed.cookie.split('=');
  for (const forged of [value.split('.')[0], `${value}x`, `${value.split('.')[0]}.${'A'.repeat(43)}`]) {
    const answer = await ask({}, { cookie: `${name}=${forged}` });
    test.equal(answer.body['dtype'], 'download', 'a cookie that is not ours is a new device');
    test.not(answer.cookie, installed.cookie);
  }
  const refused = await used({ app: 'com.example.trailmap', subject: 'x' }, { cookie: installed.cookie });
  test.equal(refused.body['code'], 'forbidden');
});

t.test('a server confirms: by nonce, and by app and subject', async (test) => {
  const { ask, visitor, used, pass } = await openWith(test);
  const { nonce, dtype } = await visitor();
  test.equal((await used({ nonce }, AS_SERVER)).status, 204);
  test.equal((await used({ app: '6500000001', subject: 'phone 1' }, AS_SERVER)).status, 204);
  test.equal((await used({ nonce: randomUUID() }, AS_SERVER)).status, 204, 'unknown');
  test.equal((await used({ app: 'com.example.none', subject: 'phone 1' }, AS_SERVER)).body['code'], 'unknown_app');
  test.equal((await used({}, AS_SERVER)).body['code'], 'invalid_request');
  test.equal((await used({ nonce, subject: 'phone 1' }, AS_SERVER)).body['code'], 'invalid_request');
  pass(LIFETIME_MS);
  test.equal(await dtype(), 'redownload');
  const of = async (subject: string) => (await ask({ subject }, AS_SERVER)).body['dtype'];
  test.equal(await of('phone 1'), 'redownload');
  test.equal(await of('phone 2'), 'download');
  test.equal((await ask({ subject: 'phone 2', dtype: 'redownload' }, AS_SERVER)).body['dtype'], 'redownload');
  test.equal((await ask({}, AS_SERVER)).body['dtype'], 'download', 'without a subject nothing is known');
});

t.test('a device that lost its cookie is recognised by its device id from the next token on', async (test) => {
  const { visitor, used, pass } = await openWith(test);
  const confirm = async (body: object) => test.equal((await used(body, AS_SERVER)).status, 204);
  const first = await visitor();
  await confirm({ nonce: first.nonce, device: 'phone A' });
  pass(LIFETIME_MS);
  test.equal(await first.dtype(), 'redownload');
  const withoutCookie = { same: await visitor(), other: await visitor(), unnamed: await visitor() };
  await confirm({ nonce: withoutCookie.same.nonce, device: 'phone A' });
  await confirm({ nonce: withoutCookie.other.nonce, device: 'phone B' });
  await confirm({ nonce: withoutCookie.unnamed.nonce });
  test.equal(await withoutCookie.same.dtype(), 'redownload', 'the device had the app before');
  test.equal(await withoutCookie.other.dtype(), 'download', 'another device');
  test.equal(await withoutCookie.unnamed.dtype(), 'download', 'no device named');
});

t.test('devices with app, with and without a subject; an account is never a device', async (test) => {
  const { ask, visitor, used, pass } = await openWith(test);
  const app = 'com.example.trailmap';
  const confirm = async (body: object) => test.equal((await used(body, AS_SERVER)).status, 204, JSON.stringify(body));
  const of = async (subject: string) => (await ask({ subject }, AS_SERVER)).body['dtype'];
  await confirm({ app, device: 'alone' });
  await confirm({ app, subject: 'customer', device: 'phone 1' });
  const { body } = await ask({}, AS_SERVER);
  await confirm({ nonce: body['nonce'], device: 'of a token without a subject' });
  pass(LIFETIME_MS);
  test.equal(await of('alone'), 'download', 'a device is not a subject of the same name');
  test.equal(await of('customer'), 'redownload');
  await confirm({ app, subject: 'customer', device: 'phone 2' });
  for (const [device, expected] of [
    ['alone', 'redownload'],
    ['of a token without a subject', 'redownload'],
    ['phone 1', 'redownload'],
    ['phone 2', 'download'],
    ['customer', 'download'],
    ['never seen', 'download'],
  ] as const) {
    const returning = await visitor();
    await confirm({ nonce: returning.nonce, device });
    test.equal(await returning.dtype(), expected, device);
  }
});

t.test('the log line of a token has the source of its dtype', async (test) => {
  const { ask, visitor, log } = await openWith(test);
  const { dtype } = await visitor();
  await dtype();
  await ask({ subject: 'phone' }, AS_SERVER);
  await ask({ dtype: 'redownload' }, AS_SERVER);
  await ask({}, AS_SERVER);
  test.strictSame(
    log.events('install_token_issued').map((line) => JSON.parse(line).dtypeSource),
    ['none', 'cookie', 'caller', 'caller', 'none'],
  );
  const ids = log.events('install_token_issued').map((line) => JSON.parse(line).reqId);
  test.equal(new Set(ids.filter((id) => typeof id === 'string')).size, 5, 'and the id of its request');
});

t.test('a page cannot name a device, and a device must be a valid id', async (test) => {
  const { visitor, used } = await openWith(test);
  const { nonce, cookie } = await visitor();
  const bodies = [{ nonce }, {}, { app: 'com.example.trailmap' }, { subject: 'x' }];
  for (const body of bodies.map((body) => ({ ...body, device: 'phone' }))) {
    const refused = await used(body, { cookie });
    test.strictSame([refused.status, refused.body['code']], [403, 'forbidden'], JSON.stringify(body));
    test.match(refused.body['detail'], /^device: /);
  }
  for (const device of ['', 'x'.repeat(257), 'é', 7, null])
    test.equal((await used({ nonce, device }, AS_SERVER)).body['code'], 'invalid_request', JSON.stringify(device));
  test.equal((await used({ nonce, subject: 's', device: 'd' }, AS_SERVER)).body['code'], 'invalid_request');
});

for (const [setting, expected] of [
  ['confirm', ['download', 'download', 'redownload']],
  ['tap', ['download', 'redownload', 'redownload']],
  ['issue', ['redownload', 'redownload', 'redownload']],
] as const)
  t.test(`WEBDIST_INSTALL_EVIDENCE=${setting}: what counts after issuing, tap, confirmation`, async (test) => {
    const { visitor, used, pass } = await openWith(test, { WEBDIST_INSTALL_EVIDENCE: setting });
    const visitors = [await visitor(), await visitor(), await visitor()] as const;
    await used({ nonce: visitors[1].nonce }, { cookie: visitors[1].cookie });
    await used({ nonce: visitors[2].nonce }, AS_SERVER);
    pass(LIFETIME_MS);
    test.strictSame(await Promise.all(visitors.map(({ dtype }) => dtype())), expected);
  });

t.test('a hundred tokens at once: in order, and a bad entry does not affect the others', async (test) => {
  const { url } = await openWith(test);
  const many = (requests: object[], headers: Record<string, string> = AS_SERVER) =>
    post(`${url}/install-tokens`, { requests }, headers);
  const requests = Array.from({ length: 100 }, (_, index) => ({ subject: `phone ${index}` }) as object);
  requests[7] = { app: 'com.example.none' };
  requests[8] = { dtype: 'upload' };
  const { status, body, headers } = await many(requests);
  test.strictSame([status, headers.get('cache-control')], [200, 'no-store']);
  const results = body['results'] as Record<string, unknown>[];
  test.strictSame(
    results.map((result) => result['code']),
    requests.map((_, index) => (index === 7 ? 'unknown_app' : index === 8 ? 'invalid_request' : undefined)),
  );
  test.match(results[8]?.['detail'], /^body\.requests\.8\.dtype: /);
  test.equal(new Set(results.map((result) => result['nonce'])).size, 99);
  test.equal((await many([...requests, {}])).body['code'], 'invalid_request', '101');
  test.equal((await many([])).body['code'], 'invalid_request', 'none');
  test.equal((await many([{}], {})).body['code'], 'unauthorized', 'a page');
});

t.test('every kind of wrong API key gets the same refusal', async (test) => {
  const { ask } = await openWith(test);
  for (const credential of [`${KEY}x`, KEY.slice(1), createHash('sha256').update(KEY).digest('hex'), 'x'])
    for (const scheme of ['Bearer', 'bearer']) {
      const { status, body } = await ask({ subject: 'x' }, { authorization: `${scheme} ${credential}` });
      test.strictSame([status, body['code']], [401, 'unauthorized']);
    }
  test.equal((await ask({}, { authorization: `Basic ${KEY}` })).status, 401);
});
