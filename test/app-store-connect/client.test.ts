import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import t from 'tap';
import type { AppStoreConnect } from '../../src/app-store-connect/client.ts';
import type { RequestAttempt } from '../../src/app-store-connect/http.ts';
import { publicKeyPem, spki } from '../../src/jws.ts';
import { APP, appleError, keyOf, newKey, openApple, openClient } from '../harness/stand-ins/app-store-connect.ts';

const KEYS = '/v1/alternativeDistributionKeys';
const statuses = (apple: { requests: { method: string; status: number }[] }) =>
  apple.requests.map(({ method, status }) => `${method} ${status}`);

t.test('every operation against an empty account', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const { publicKey } = newKey();

  t.match(await asc.findApps(APP.bundleId), [APP]);
  t.equal(await asc.appKey(APP.appleItemId), null);
  const added = await asc.addKey({ publicKey, appleItemId: APP.appleItemId });
  t.match(added, { id: /^[0-9a-f-]{36}$/, spki: spki(publicKey) });
  t.match(await asc.appKey(APP.appleItemId), { id: added.id });
  t.match(await asc.readKey(added.id), { id: added.id, spki: spki(publicKey) });
  const shared = await asc.addKey({ publicKey: newKey().publicKey });
  const idsOf = async (app?: boolean) => (await asc.listKeys({ app })).map(({ id }) => id);
  t.strictSame(await idsOf(), [added.id, shared.id]);
  t.strictSame(await idsOf(true), [added.id]);
  t.strictSame(await idsOf(false), [shared.id]);
  await asc.removeKey(added.id);
  await t.rejects(asc.readKey(added.id), { code: 'asc_not_found' });
  await t.rejects(asc.removeKey(added.id), { code: 'asc_not_found' });

  const domain = await asc.addDomain({ domain: 'example.com', referenceName: 'trailmap-web' });
  t.match(domain, { domain: 'example.com', referenceName: 'trailmap-web', createdDate: '2026-11-21T10:20:00Z' });
  t.strictSame(await asc.readDomain(domain.id), domain);
  await t.rejects(asc.addDomain({ domain: 'example.com', referenceName: 'again' }), { code: 'asc_conflict' });
  await asc.removeDomain(domain.id);
  t.strictSame(await asc.listDomains(), []);
  t.strictSame(asc.rateLimit, { limit: 3500, remaining: 3499 });
  t.equal(apple.signer.signed, 1, 'one JWT for all requests');
});

t.test('apps with a similar bundle id are left out', async (t) => {
  const apple = await openApple(t);
  apple.apps = [
    { appleItemId: '1', bundleId: `${APP.bundleId}.beta` },
    { appleItemId: '2', bundleId: 'COM.example.trailmap' },
  ];
  t.strictSame(await openClient(t, apple).asc.findApps(APP.bundleId), []);
});

t.test('data: null means that there is no key', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ reply }) => reply(200, { data: null });
  const { asc } = openClient(t, apple);
  t.equal(await asc.appKey(APP.appleItemId), null);
  await t.rejects(asc.readKey('k'), { code: 'asc_not_found' });
});

t.test('PEM in every form that Apple uses; an unreadable one does not break the list', async (t) => {
  const apple = await openApple(t);
  const { publicKey } = newKey();
  const pem = publicKeyPem(publicKey);
  const body = pem.split('\n').slice(1, -2).join('');
  const spellings = [
    pem,
    pem.trimEnd(),
    pem.replaceAll('\n', '\r\n'),
    pem.replaceAll('\n', ''),
    `-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----`,
    'not a PEM',
    '',
  ];
  apple.keys.push(...spellings.map((spelling) => ({ ...keyOf(publicKey), publicKey: spelling })));
  const { asc, lines } = openClient(t, apple);
  const keys = await asc.listKeys();
  t.strictSame(
    keys.map((key) => key.spki),
    [...Array(5).fill(spki(publicKey)), undefined, undefined],
  );
  t.equal(lines.filter((line) => line.includes('asc_public_key_unreadable')).length, 2);
});

t.test('pages are followed to the end', async (t) => {
  const apple = await openApple(t);
  apple.pageSize = 2;
  apple.domains.push(...['a', 'b', 'c', 'd', 'e'].map((id) => ({ id, domain: `${id}.example`, referenceName: id })));
  const found = await openClient(t, apple).asc.listDomains();
  t.strictSame(
    found.map(({ id }) => id),
    ['a', 'b', 'c', 'd', 'e'],
  );
  t.equal(apple.requests.length, 3);
});

t.test('a next link that is outside the API is not followed', async (t) => {
  const other = { requests: 0 };
  const elsewhere = createServer((_req, res) => {
    other.requests++;
    res.end('{"data":[]}');
  });
  await new Promise<void>((done) => elsewhere.listen(0, '127.0.0.1', done));
  t.teardown(() => elsewhere.close());
  const { port } = elsewhere.address() as AddressInfo;

  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const outside = [
    `http://127.0.0.1:${port}${KEYS}?cursor=2`,
    `//127.0.0.1:${port}${KEYS}?cursor=2`,
    apple.baseUrl.replace('http:', 'https:') + KEYS,
    apple.baseUrl.replace('http://', 'http://user:secret@') + KEYS,
    `${apple.baseUrl}/v2/keys`,
    `${apple.baseUrl}/v1/../keys`,
    'https://',
  ];
  for (const next of outside) {
    apple.intercept = ({ reply }) => reply(200, { data: [], links: { next } });
    await t.rejects(asc.listKeys(), { code: 'asc_outage', message: /is outside the API/ }, next);
  }
  t.equal(other.requests, 0);
  t.equal(apple.requests.length, outside.length);

  apple.intercept = ({ url, reply }) => reply(200, { data: [], links: { next: url.href } });
  await t.rejects(asc.listKeys(), { message: /more than 50 pages/ }, 'nor a circular one');
});

t.test('redirects are errors, and the bearer JWT is not sent on', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ reply }) => reply(302, '', { location: '/v1/elsewhere' });
  await t.rejects(openClient(t, apple).asc.listKeys(), { code: 'asc_refused' });
  t.equal(apple.requests.length, 1);
});

t.test('ids stay inside the API', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  for (const id of ['', '.', '..']) await t.rejects(asc.removeKey(id), { code: 'usage_invalid' }, `"${id}"`);
  await t.rejects(asc.readKey('../apps?x#y'), { code: 'asc_not_found' });
  t.equal(apple.requests.at(-1)?.path, `${KEYS}/..%2Fapps%3Fx%23y`);
});

t.test('a base URL with a path, and invalid base URLs', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ reply }) => reply(200, { data: [] });
  await openClient(t, apple, { baseUrl: `${apple.baseUrl}/proxy/` }).asc.listKeys();
  t.equal(apple.requests[0]?.path, `/proxy${KEYS}`);
  for (const baseUrl of ['', 'api.example.com', 'ftp://api.example.com', 'http://a:b@api.example.com'])
    t.throws(() => openClient(t, apple, { baseUrl }), { code: 'config_invalid' }, baseUrl);
});

t.test('which requests are retried, counted on the wire', async (t) => {
  const cases: { does: string; call: (asc: AppStoreConnect) => Promise<unknown>; status: number; wire: string[] }[] = [
    { does: 'GET', call: (asc) => asc.readKey('k'), status: 503, wire: ['GET 503', 'GET 503', 'GET 503'] },
    { does: 'GET', call: (asc) => asc.readKey('k'), status: 500, wire: ['GET 500', 'GET 500', 'GET 500'] },
    { does: 'GET', call: (asc) => asc.readKey('k'), status: 429, wire: ['GET 429'] },
    { does: 'GET', call: (asc) => asc.readKey('k'), status: 403, wire: ['GET 403'] },
    { does: 'POST', call: (asc) => asc.addKey(newKey()), status: 503, wire: ['POST 503'] },
    { does: 'POST', call: (asc) => asc.addKey(newKey()), status: 429, wire: ['POST 429'] },
    // After a removal with an unknown outcome, the client checks whether the key is still there.
    { does: 'DELETE', call: (asc) => asc.removeKey('k'), status: 503, wire: ['DELETE 503', 'GET 200'] },
    { does: 'DELETE', call: (asc) => asc.removeKey('k'), status: 429, wire: ['DELETE 429'] },
  ];
  for (const { does, call, status, wire } of cases) {
    const apple = await openApple(t);
    apple.intercept = ({ method, reply }) => (method === does ? reply(status, '<html>') : reply(200, { data: {} }));
    await t.rejects(call(openClient(t, apple).asc), { name: 'WebdistError' });
    t.strictSame(statuses(apple), wire, `${does} ${status}`);
  }
});

t.test('a GET whose connection breaks is retried, also in the middle of the response', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ res }) => {
    if (apple.requests.length === 1) return res.destroy();
    if (apple.requests.length > 2) return false;
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
    return res.write('{"data":', () => res.destroy());
  };
  t.strictSame(await openClient(t, apple).asc.listKeys(), []);
  t.equal(apple.requests.length, 3);
});

t.test('a POST whose connection breaks is not retried', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ res }) => res.destroy();
  await t.rejects(openClient(t, apple).asc.addKey(newKey()), { code: 'asc_outage', message: /no answer \(/ });
  t.equal(apple.requests.length, 1);
});

t.test('a DELETE whose response is lost succeeds if the key is gone', async (t) => {
  const apple = await openApple(t);
  const [kept, removed] = [keyOf(newKey().publicKey), keyOf(newKey().publicKey)];
  apple.keys.push(kept, removed);
  apple.intercept = (call) => {
    if (call.method !== 'DELETE') return false;
    if (call.url.pathname.endsWith(removed.id)) apple.apply(call);
    return call.res.destroy();
  };
  const { asc } = openClient(t, apple);
  await asc.removeKey(removed.id);
  await t.rejects(asc.removeKey(kept.id), { code: 'asc_outage' });
  t.strictSame(statuses(apple), ['DELETE 0', 'GET 404', 'DELETE 0', 'GET 200']);
});

t.test('connection refused', async (t) => {
  const apple = await openApple(t);
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  await new Promise((done) => closed.close(done));
  const seen: RequestAttempt[] = [];
  const onAttempt = (one: RequestAttempt) => seen.push(one);
  const { asc } = openClient(t, apple, { baseUrl: `http://127.0.0.1:${port}`, onAttempt });
  await t.rejects(asc.removeKey('k'), { code: 'asc_outage', message: /ECONNREFUSED/ });
  t.strictSame(
    seen.map(({ method, status }) => [method, status]),
    [...Array(3).fill(['DELETE', undefined]), ...Array(3).fill(['GET', undefined])],
  );
});

t.test('Retry-After: a short one is waited for, a long one reported', async (t) => {
  const apple = await openApple(t);
  let retryAfter = '0';
  apple.intercept = ({ reply }) => {
    if (retryAfter === '0' && apple.requests.length > 1) return false;
    return reply(429, appleError(429, 'RATE_LIMIT_EXCEEDED'), { 'retry-after': retryAfter });
  };
  const { asc } = openClient(t, apple);
  t.strictSame(await asc.listKeys(), []);
  t.strictSame(statuses(apple), ['GET 429', 'GET 200']);

  retryAfter = '120';
  apple.requests.length = 0;
  await t.rejects(asc.listKeys(), { code: 'asc_rate', retryAfterSeconds: 120 });
  t.equal(apple.requests.length, 1);
});

t.test('no response: each attempt and the whole operation time out', async (t) => {
  const apple = await openApple(t);
  apple.intercept = () => undefined;
  const late = { code: 'asc_outage', message: /no answer in time/ };
  const one = openClient(t, apple, { retryPolicy: { attemptTimeoutMs: 200 } });
  await t.rejects(one.asc.listKeys(), late);
  t.equal(apple.requests.length, 3, 'a GET is retried');
  await t.rejects(one.asc.addKey(newKey()), late);
  t.equal(apple.requests.length, 4, 'a POST is not');
  const whole = openClient(t, apple, { retryPolicy: { totalTimeoutMs: 200 } });
  await t.rejects(whole.asc.listKeys(), late);
  t.equal(apple.requests.length, 5);
});

t.test('a response that stalls in its body times out too', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ res }) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.write('{');
  };
  const { asc } = openClient(t, apple, { retryPolicy: { attemptTimeoutMs: 200 } });
  await t.rejects(asc.listKeys(), { code: 'asc_outage', message: /no answer in time/ });
  t.equal(apple.requests.length, 3);
});

t.test('close aborts requests in flight', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const arrived = new Promise<void>((done) => {
    apple.intercept = () => done();
  });
  const call = t.rejects(asc.listKeys(), { code: 'shutting_down' });
  await arrived;
  asc.close();
  await call;
  await t.rejects(asc.listKeys(), { code: 'shutting_down' }, 'and later ones');
});

t.test('unusable responses', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple);
  const useless: [string, unknown][] = [
    ['HTML', '<html>Sign in to the hotel network</html>'],
    ['nothing', undefined],
    ['another shape', { data: { id: 'k' } }],
    ['ids that are numbers', { data: [{ id: 7 }] }],
    ['too much', { data: [], padding: 'x'.repeat(5 * 1024 * 1024) }],
  ];
  for (const [name, body] of useless) {
    apple.intercept = ({ reply }) => reply(200, body);
    await t.rejects(asc.listKeys(), { code: 'asc_outage' }, name);
  }
  t.equal(apple.requests.length, useless.length, 'none is requested again');
});

for (const skewSeconds of [300, -300])
  t.test(`a local clock off by ${-skewSeconds} seconds: Apple's clock is used`, async (t) => {
    const apple = await openApple(t);
    apple.skewSeconds = skewSeconds;
    const { asc, lines } = openClient(t, apple);
    t.equal(asc.clockOffsetSeconds, undefined);
    t.strictSame(await asc.listKeys(), []);
    t.strictSame(await asc.listDomains(), []);
    t.ok(Math.abs((asc.clockOffsetSeconds ?? 0) - skewSeconds) <= 1);
    t.equal(lines.filter((line) => line.includes('asc_clock_differs')).length, 1, 'logged once');
    t.ok(statuses(apple).filter((one) => one === 'GET 401').length <= 1);
    t.ok(apple.signer.signed <= 2);
  });

t.test('a local clock that is fifteen minutes slow', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple, { now: () => Date.now() - 900_000 });
  await asc.addKey(newKey());
  t.strictSame(statuses(apple), ['POST 401', 'POST 201'], 'a 401 means that nothing was done');
});

t.test('one unexpected 401: a new JWT, once', async (t) => {
  const apple = await openApple(t);
  apple.intercept = ({ reply }) => {
    if (apple.requests.length > 1) return false;
    return reply(401, appleError(401, 'NOT_AUTHORIZED'));
  };
  t.strictSame(await openClient(t, apple).asc.listKeys(), []);
  const [first, second] = apple.requests;
  t.ok(first?.authorization && second?.authorization && first.authorization !== second.authorization);
});

t.test('a refused API key is tried twice, not forever', async (t) => {
  const apple = await openApple(t);
  const { asc } = openClient(t, apple, { keyId: 'K', issuerId: undefined });
  await t.rejects(asc.listKeys(), { code: 'asc_credentials', hint: /ASC_KEY_ID/ });
  t.equal(apple.requests.length, 2);
  apple.skewSeconds = 300;
  await t.rejects(asc.listKeys(), { code: 'asc_clock', hint: /NTP/ });
});

t.test('no bearer JWT in an error or a log, even if a proxy echoes the request', async (t) => {
  const apple = await openApple(t);
  const { asc, lines, log } = openClient(t, apple);
  const calls = [() => asc.listKeys(), () => asc.addKey(newKey()), () => asc.removeKey('k')];
  const faults: ((authorization: string) => [number, unknown])[] = [
    (authorization) => [403, `<html>${authorization}</html>`],
    (authorization) => [500, { errors: [{ code: authorization, title: authorization, detail: authorization }] }],
    (authorization) => [200, `${authorization}`],
    (authorization) => [200, { data: [{ id: 7, [authorization]: authorization }] }],
  ];
  for (const fault of [...faults, undefined]) {
    apple.intercept = ({ req, res, reply }) =>
      fault ? reply(...fault(req.headers.authorization ?? '')) : res.destroy();
    for (const call of calls) {
      const error = await call().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      log.error({ err: error }, 'failed');
      t.notMatch(inspect(error, { depth: 10, showHidden: true }), /eyJ/);
    }
  }
  const bearer = apple.requests[0]?.authorization;
  t.match(bearer, /^Bearer eyJ/, 'there was one that could leak');
  t.notMatch(lines.join('\n'), /eyJ/);
  t.ok(lines.length > 15);
});
