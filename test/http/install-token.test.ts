import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, importSPKI, jwtVerify } from 'jose';
import t from 'tap';
import { IAT_MARGIN_SECONDS } from '../../src/install-token/times.ts';
import { publicKeyPem, readPublicKey } from '../../src/jws.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

type Answer = { token: string; expiresAt: string; dtype: string; keyId: string; nonce: string; installUrl?: string };

const generous = { WEBDIST_RATE_LIMIT: '1000000', WEBDIST_RATE_LIMIT_ADDRESS: '1000000' };

/** The public half that App Store Connect has under a key id, requested as from Apple’s API. */
async function registeredKey(sandbox: Sandbox, keyId: string): Promise<string> {
  const { openAppStoreConnect } = await import('../../src/app-store-connect/client.ts');
  const { openLocalSigner } = await import('../../src/signer/local.ts');
  const { ASC_PRIVATE_KEY_B64 = '', ASC_KEY_ID = '', ASC_ISSUER_ID } = sandbox.settings;
  const { signer } = openLocalSigner(ASC_PRIVATE_KEY_B64, 'test');
  const { openLog } = await import('../../src/log.ts');
  const asc = openAppStoreConnect({
    baseUrl: sandbox.baseUrl,
    keyId: ASC_KEY_ID,
    issuerId: ASC_ISSUER_ID,
    signer,
    log: openLog('silent'),
  });
  const { publicKey } = await asc.readKey(keyId);
  asc.close();
  if (!publicKey) throw new Error('the sandbox holds no such key');
  return publicKeyPem(publicKey);
}

/** r‖s as the DER SEQUENCE that openssl expects. */
function toDer(raw: Buffer): Buffer {
  const integer = (bytes: Buffer) => {
    const trimmed = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
    const body = (trimmed[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), trimmed]) : trimmed;
    return Buffer.concat([Buffer.from([2, body.length]), body]);
  };
  const body = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

t.test('a token for a page', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, generous);
  const response = await askToken(url);
  t.equal(response.status, 200);
  t.equal(response.headers.get('cache-control'), 'no-store');
  t.equal(response.headers.get('access-control-allow-origin'), 'https://example.com');
  t.equal(response.headers.get('access-control-allow-credentials'), 'true');
  t.match(
    response.headers.get('set-cookie'),
    /^webdist_device=[^;]+; Max-Age=34560000; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  );
  const answer = (await response.json()) as Answer;
  t.strictSame(Object.keys(answer), ['token', 'expiresAt', 'dtype', 'keyId', 'nonce', 'installUrl']);

  const header = decodeProtectedHeader(answer.token);
  t.strictSame(header, { alg: 'ES256', kid: answer.keyId, typ: 'JWT' }, 'the header has exactly three members');
  const claims = decodeJwt(answer.token);
  t.strictSame(Object.keys(claims), ['iss', 'iat', 'exp', 'aud', 'bid', 'dtype', 'nonce', 'iid', 'vid']);
  t.match(claims, {
    iss: '6500000001',
    iid: '6500000001',
    aud: 'AppleDownloadVerification-v1',
    bid: 'com.example.trailmap',
    dtype: 'download',
  });
  t.match(claims['vid'], /^[1-9]\d*$/, 'ids are strings');
  t.equal((claims.exp ?? 0) - (claims.iat ?? 0), 1200);
  const age = Date.now() / 1000 - (claims.iat ?? Number.POSITIVE_INFINITY);
  t.ok(age >= IAT_MARGIN_SECONDS && age < 60, 'iat is a few seconds in the past');
  t.equal(answer.expiresAt, new Date((claims.exp ?? 0) * 1000).toISOString().replace('.000', ''));
  t.equal(claims['nonce'], answer.nonce);
  t.match(answer.nonce, /^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$/);

  const pem = await registeredKey(sandbox, answer.keyId);
  await t.resolves(
    jwtVerify(answer.token, await importSPKI(pem, 'ES256'), { audience: 'AppleDownloadVerification-v1' }),
    'jose',
  );
  const jwks = (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as Parameters<typeof createLocalJWKSet>[0];
  await t.resolves(jwtVerify(answer.token, createLocalJWKSet(jwks)), 'our JWKS');

  const [protectedHeader, payload, signature = ''] = answer.token.split('.');
  const dir = temporaryFolder(t);
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };
  const raw = Buffer.from(signature, 'base64url');
  t.equal(raw.length, 64);
  const verified = execFileSync('openssl', [
    ...['dgst', '-sha256', '-verify', file('key.pub', pem), '-signature', file('sig', toDer(raw))],
    file('input', `${protectedHeader}.${payload}`),
  ]);
  t.equal(String(verified), 'Verified OK\n', 'openssl');
  t.ok(readPublicKey(pem));

  const verdict = await sandbox.device({ installUrl: answer.installUrl ?? '', pageUrl: 'https://example.com/' });
  t.equal(verdict.accepted, true, 'the simulated device accepts it');
  t.strictSame(
    verdict.checks.filter((check) => !check.ok),
    [],
  );
});

t.test('the app under each of its names, by POST and by GET', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), { ...generous, WEBDIST_OAUTH: 'off' });
  for (const body of [
    {},
    { app: 'com.example.trailmap' },
    { app: '6500000001' },
    { bundleID: 'com.example.trailmap', redownload: true },
    { bundleId: 'com.example.trailmap' },
    { appleItemId: '6500000001' },
    { app: '6500000001', appleItemId: '6500000001' },
  ]) {
    const response = await askToken(url, body);
    t.equal(response.status, 200, JSON.stringify(body));
    t.equal(((await response.json()) as Answer).dtype, 'download', 'a page’s redownload is ignored');
    const query = new URLSearchParams(Object.entries(body).map(([name, value]) => [name, String(value)]));
    const got = await fetch(`${url}/install-token?${query}`, { headers: { origin: 'https://example.com' } });
    t.equal(got.status, 200, `GET ${query}`);
    t.equal(got.headers.get('cache-control'), 'no-store');
  }
  const full = (await (await askToken(url, { account: 'jo e+&', token: 'a/b=' })).json()) as Answer;
  t.match(full.installUrl, /&token=a%2Fb%3D&account=jo%20e%2B%26&appShareURL=https%3A%2F%2F/);
});

t.test('a missing body is an empty one, however a client writes it', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), generous);
  const empty = new ReadableStream({ start: (controller) => controller.close() });
  const requests: [string, RequestInit][] = [
    ['no body', {}],
    ['no body, JSON', { headers: { 'content-type': 'application/json' } }],
    ['no body, JSON in UTF-8', { headers: { 'content-type': 'application/json; charset=utf-8' } }],
    ["curl -d ''", { body: '', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['the empty text', { body: '', headers: { 'content-type': 'text/plain' } }],
    ['chunked', { body: empty, duplex: 'half', headers: { 'content-type': 'application/json' } } as RequestInit],
  ];
  for (const [name, init] of requests) {
    const headers = { ...init.headers, origin: 'https://example.com' };
    const response = await fetch(`${url}/install-token`, { method: 'POST', ...init, headers });
    t.match([response.status, await response.json()], [200, { dtype: 'download' }], name);
  }
  for (const [path, detail] of [
    ['/installs', /^body: give either the nonce/],
    ['/marketplace-kit/updates', /^body/],
    ['/marketplace-kit/restore', /^body.apps: /],
  ] as const) {
    const response = await fetch(url + path, { method: 'POST', headers: { origin: 'https://example.com' } });
    t.match([response.status, await response.json()], [400, { code: 'invalid_request', detail }], path);
  }
});

t.test('invalid input: the error has its code and names the field', async (t) => {
  const { url, log } = await startReady(t, await startSandbox(t), generous);
  const post = (body: string, headers: Record<string, string> = {}, path = '/install-token') =>
    fetch(url + path, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', origin: 'https://example.com', ...headers },
    });
  const get = (path: string, init: RequestInit = {}) =>
    fetch(url + path, { headers: { origin: 'https://example.com' }, ...init });
  const cases: [string, Promise<Response>, number, string, RegExp][] = [
    ['not JSON', post('{'), 400, 'invalid_request', /body/],
    ['JSON that is not an object', post('[]'), 400, 'invalid_request', /body/],
    ['null', post('null'), 400, 'invalid_request', /body/],
    ['prototype pollution', post('{"__proto__":{"app":"x"}}'), 400, 'invalid_request', /body.*__proto__/],
    [
      'pollution through the constructor',
      post('{"constructor":{"prototype":{"app":"x"}}}'),
      400,
      'invalid_request',
      /body.*constructor/,
    ],
    ['wrong type', post('{"app":6500000001}'), 400, 'invalid_request', /body\.app/],
    ['wrong type of redownload', post('{"redownload":"yes"}'), 400, 'invalid_request', /body\.redownload/],
    ['unknown app', post('{"app":"com.example.nothing"}'), 404, 'unknown_app', /app/],
    ['emoji', post('{"account":"🏔"}'), 400, 'invalid_request', /body\.account/],
    ['lone surrogate', post('{"account":"\\ud800"}'), 400, 'invalid_request', /body\.account/],
    ['control characters', post('{"account":"a\\u0000b"}'), 400, 'invalid_request', /body\.account/],
    [
      '10,000 characters',
      post(JSON.stringify({ account: 'a'.repeat(10_000) })),
      400,
      'invalid_request',
      /body\.account/,
    ],
    ['unknown field', post('{"colour":"red"}'), 400, 'invalid_request', /colour/],
    ['1 MiB', post(JSON.stringify({ account: 'a'.repeat(1024 * 1024) })), 413, 'too_large', /body/],
    [
      'wrong type of content',
      post('app=x', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported_media_type',
      /content-type/,
    ],
    ['text', post('{}', { 'content-type': 'text/plain' }), 415, 'unsupported_media_type', /content-type/],
    ['two names', post('{"app":"6500000001","bundleId":"com.example.trailmap"}'), 400, 'invalid_request', /app/],
    ['query on POST', post('{}', {}, '/install-token?app=x'), 400, 'invalid_request', /querystring/],
    ['duplicate query keys', get('/install-token?app=a&app=b'), 400, 'invalid_request', /querystring\.app/],
    ['unknown query key', get('/install-token?colour=red'), 400, 'invalid_request', /colour/],
    ['broken percent encoding', get('/install-token?app=%ff%fe'), 400, 'invalid_request', /url/],
    ['wrong method', get('/install-token', { method: 'DELETE' }), 405, 'method_not_allowed', /GET and POST/],
    ['a broken path', get('/%zz'), 400, 'invalid_request', /url/],
    ['wrong path', get('/install-tokenx'), 404, 'not_found', /path/],
    ['forbidden origin', post('{}', { origin: 'https://evil.example' }), 403, 'origin_not_allowed', /origin/],
    ['look-alike origin', post('{}', { origin: 'https://notexample.com' }), 403, 'origin_not_allowed', /origin/],
    ['origin null', post('{}', { origin: 'null' }), 403, 'origin_not_allowed', /origin/],
    ['a claim a page may not set', post('{"subject":"x"}'), 403, 'forbidden', /subject/],
    ['a dtype a page may not set', post('{"dtype":"redownload"}'), 403, 'forbidden', /dtype/],
    ['a wrong credential', post('{}', { authorization: 'Bearer nothing' }), 401, 'unauthorized', /authorization/],
    ['a wrong scheme', post('{}', { authorization: 'Basic eDp5' }), 401, 'unauthorized', /authorization/],
    [
      'a link instead of a token',
      get('/install-token?app=com.example.trailmap%00'),
      400,
      'invalid_request',
      /querystring\.app/,
    ],
  ];
  for (const [name, pending, status, code, detail] of cases) {
    const response = await pending;
    const text = await response.text();
    t.equal(response.status, status, `${name}: status`);
    t.equal(response.headers.get('content-type'), 'application/problem+json; charset=utf-8', `${name}: type`);
    const problem = JSON.parse(text) as Record<string, unknown>;
    t.match(problem, { code, status, detail, type: `/problems/${code}`, title: /./ }, name);
    t.equal(problem['requestId'], response.headers.get('x-request-id'), `${name}: the request’s id`);
    const lines = log.events('request_refused').filter((line) => line.includes(`"reqId":"${problem['requestId']}"`));
    t.equal(lines.length, 1, `${name}: its line in the log`);
    t.notMatch(text, /aaaaaaaaaa|evil/, `${name}: repeats nothing`);
  }
});

t.test('a caller that is not a page needs a credential', async (t) => {
  const key = 'a-very-secret-key';
  const digest = createHash('sha256').update(key).digest('hex');
  const running = await startReady(t, await startSandbox(t), {
    ...generous,
    WEBDIST_API_KEYS: `other:${'0'.repeat(64)},shop:${digest}`,
  });
  const ask = (headers: Record<string, string>, body = {}) =>
    fetch(`${running.url}/install-token`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  t.equal((await ask({})).status, 401);
  t.equal(
    (await ask({ 'sec-fetch-site': 'cross-site' })).status,
    403,
    'a browser on a foreign page that sends no origin',
  );
  t.equal((await ask({ 'sec-fetch-site': 'same-origin' })).status, 200);
  const sameSite = await ask({ 'sec-fetch-site': 'same-site', origin: 'https://shop.example.com' });
  t.equal(sameSite.headers.get('access-control-allow-origin'), 'https://shop.example.com');
  const authorization = `Bearer ${key}`;
  const server = await ask(
    { authorization },
    { subject: 'u1', dtype: 'redownload', country: 'MT', version: '77', app: '6500000001' },
  );
  t.equal(server.status, 200);
  t.equal(server.headers.get('set-cookie'), null, 'a server gets no device cookie');
  t.match(decodeJwt(((await server.json()) as Answer).token), {
    dtype: 'redownload',
    ccode: 'MT',
    iid: '6500000001',
    vid: '77',
  });
  t.equal((await ask({ authorization }, { redownload: true, dtype: 'download' })).status, 400);
  for (const country of ['UK', 'XK', 'SU', 'AN', 'IC', 'EU', 'T1', 'ie', 'IRL', '']) {
    const refused = await ask({ authorization }, { country });
    t.equal(refused.status, 400, `no country: ${country}`);
    const { code, detail } = (await refused.json()) as { code: string; detail: string };
    t.equal(code, 'invalid_request');
    t.equal(detail, 'body.country: must be an assigned country code in upper case (ISO 3166-1 alpha-2)');
  }
  for (const version of ['0', '07', '-1', '1.5', '18446744073709551616', '99999999999999999999', '']) {
    const refused = await ask({ authorization }, { version });
    t.equal(refused.status, 400, `no version: ${version}`);
    t.match(await refused.json(), {
      code: 'invalid_request',
      detail: 'body.version: must be an AppleVersionID: a decimal number as a string',
    });
  }
  t.equal((await ask({ authorization }, { version: '18446744073709551615' })).status, 200, 'the largest');
  t.notMatch(running.log.text(), key);
});

t.test('HEAD issues no token', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), generous);
  const head = await fetch(`${url}/install-token`, { method: 'HEAD', headers: { origin: 'https://example.com' } });
  t.equal(head.status, 405);
});

t.test('a preflight is answered for allowed origins only', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), {
    ...generous,
    WEBDIST_ALLOWED_ORIGINS: 'https://shop.example.org',
  });
  const preflight = (origin: string) =>
    fetch(`${url}/install-token`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
  const allowed = await preflight('https://shop.example.org');
  t.equal(allowed.status, 204);
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://shop.example.org');
  t.match(allowed.headers.get('access-control-allow-headers') ?? '', /content-type/i);
  t.equal((await preflight('https://evil.example')).headers.get('access-control-allow-origin'), null);
  t.match((await askToken(url)).headers.get('vary') ?? '', /Origin/);
});

t.test('behind a trusted proxy, visitors are distinguished and have a country', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), {
    WEBDIST_RATE_LIMIT_ADDRESS: '2',
    WEBDIST_TRUST_PROXY: '127.0.0.0/8',
    WEBDIST_COUNTRY_HEADER: 'cf-ipcountry',
  });
  const ask = (address: string, country: string) =>
    askToken(url, {}, { 'x-forwarded-for': address, 'cf-ipcountry': country });
  const ccode = async (response: Response) => decodeJwt(((await response.json()) as Answer).token)['ccode'];
  t.equal(await ccode(await ask('203.0.113.1', 'ie')), 'IE');
  t.equal(await ccode(await ask('203.0.113.1', 'XX')), undefined, 'unknown is left out');
  for (const [index, code] of ['UK', 'XK', 'SU', 'T1', 'EU', 'ZZ', 'IRL', '', '\u00df', 'IE, FR', 'I'].entries())
    t.equal(await ccode(await ask(`198.51.100.${index + 1}`, code)), undefined, `${code} is left out`);
  for (const [index, code] of ['AX', 'bq', 'Ss', 'GG', 'PS'].entries())
    t.equal(await ccode(await ask(`198.51.101.${index + 1}`, code)), code.toUpperCase(), code);
  t.equal((await ask('203.0.113.1', 'IE')).status, 429);
  t.equal((await ask('203.0.113.2', 'IE')).status, 200);
  t.equal((await ask('2001:db8:1:2::1', 'IE')).status, 200);
  t.equal((await ask('2001:db8:1:2:ffff::9', 'IE')).status, 200);
  t.equal((await ask('2001:db8:1:2:abcd::3', 'IE')).status, 429, 'an IPv6 visitor is its /64');
});

t.test('the valid device cookie is found among several', async (t) => {
  for (const [name, settings] of [
    ['webdist_device', generous],
    ['__Host-webdist_device', { ...generous, WEBDIST_COOKIE_PREFIX: 'host' }],
  ] as const) {
    const { url } = await startReady(t, await startSandbox(t), settings);
    const set = (response: Response) => (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const cookie = set(await askToken(url));
    t.equal(cookie.split('=')[0], name);
    for (const header of [
      cookie,
      `${name}=planted.signature; ${cookie}`,
      `${cookie}; ${name}=planted.signature`,
      `other=1;${name}=;${name}="x";${cookie};${name}=%E0%A4%A`,
    ])
      t.equal(set(await askToken(url, {}, { cookie: header })), cookie, header);
    for (const header of [
      `x${cookie}`,
      `${cookie}x`,
      cookie.replace(/^[^=]+/, 'webdist_other'),
      `${name}=a.b;`.repeat(200),
    ])
      t.not(set(await askToken(url, {}, { cookie: header })), cookie, header.slice(0, 60));
  }
});

t.test('the device cookie', async (t) => {
  let clock = Date.now();
  const { url } = await startReady(t, await startSandbox(t), generous, { now: () => clock });
  const cookieOf = (response: Response) => (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const first = await askToken(url);
  const { nonce } = (await first.json()) as Answer;
  const cookie = cookieOf(first);
  const tap = (headers: Record<string, string>, body: object) =>
    fetch(`${url}/installs`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', origin: 'https://example.com', ...headers },
    });
  const dtype = async (headers = {}) => ((await (await askToken(url, {}, headers)).json()) as Answer).dtype;

  t.equal(
    (await tap({ cookie: cookieOf(await askToken(url)) }, { nonce })).status,
    204,
    'somebody else’s nonce changes nothing',
  );
  t.equal((await tap({}, { nonce })).status, 204, 'nor does a tap without a cookie');
  clock += 1300_000;
  t.equal(await dtype({ cookie }), 'download');
  t.equal((await tap({ cookie }, { nonce })).status, 204);
  t.equal((await tap({ cookie }, { nonce })).status, 204, 'twice is once');
  t.equal(await dtype({ cookie }), 'download', 'the same attempt keeps its dtype');
  clock += 1200_000;
  t.equal(await dtype({ cookie }), 'redownload');
  t.equal(await dtype(), 'download', 'another device is new');
  t.equal(await dtype({ cookie: `${cookie}x` }), 'download', 'a forged cookie is a new device');
  t.equal((await tap({ cookie }, { app: 'com.example.trailmap', subject: 'x' })).status, 403);
  t.equal((await tap({ cookie }, {})).status, 400);
});

t.test('the OpenAPI description, generated when it is first requested', async (t) => {
  const { url } = await startReady(t, await startSandbox(t));
  const answers = await Promise.all([1, 2].map(() => fetch(`${url}/openapi.json`)));
  for (const answer of answers) {
    t.match(await answer.json(), {
      openapi: '3.1.0',
      paths: { '/install-token': { post: Object, get: Object }, '/marketplace-kit/restore': { post: Object } },
    });
    t.match(answer.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
    t.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  }
  const page = await fetch(`${url}/docs`);
  t.match(page.headers.get('content-type'), /text\/html/);
  t.match(await page.text(), /<code>\/install-token<\/code>/);
  const none = await fetch(`${url}/docs/none`);
  t.equal(none.status, 404);
  t.match(await none.json(), { code: 'not_found' });
});

t.test("a caller's own token is refused where webdist's own OAuth would have to exchange it", async (t) => {
  const { url } = await startReady(t, await startSandbox(t), { ...generous, WEBDIST_OAUTH: 'own' });
  for (const token of ['a/b=', 'eyJ', 'x']) {
    const refused = await askToken(url, { token });
    t.equal(refused.status, 400);
    t.match(await refused.json(), { code: 'invalid_request', detail: /^token: .*WEBDIST_OAUTH=off/ });
  }
  t.equal((await askToken(url, { account: 'u1' })).status, 200);
});
