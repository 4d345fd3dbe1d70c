/** The website's own sign-in: JWTs verified with its JWKS (issuer, audience, expiry, rotation), also while it is down. */

import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { openSignIn } from '../../src/http/sign-in.ts';
import { post } from '../harness/http.ts';
import { listen } from '../harness/port.ts';
import { settingsIn, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const issuer = 'https://login.example.com/';
const audience = 'shop';

/** A sign-in server that creates keys and JWTs and publishes the public halves; it can be down. */
async function openIdentityProvider(test: Test) {
  const keys = new Map<string, Awaited<ReturnType<typeof generateKeyPair>>>();
  let fetches = 0;
  const server = createServer(async (_request, response) => {
    fetches++;
    const published = [...keys].map(async ([kid, { publicKey }]) => ({
      ...(await exportJWK(publicKey)),
      kid,
      alg: 'ES256',
    }));
    response.end(JSON.stringify({ keys: await Promise.all(published) }));
  });
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  const goAway = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  test.teardown(() => goAway());
  const addKey = async (kid: string) => void keys.set(kid, await generateKeyPair('ES256'));
  await addKey('one');
  return {
    settings: { jwksUrl: `http://127.0.0.1:${port}/jwks.json`, issuer, audience, audienceClaim: 'aud' as const },
    addKey,
    removeKey: (kid: string) => keys.delete(kid),
    fetches: () => fetches,
    goAway,
    comeBack: () => listen(port),
    async jwt(kid = 'one', claims: JWTPayload = {}, header: Partial<JWTHeaderParameters> = {}) {
      const key = keys.get(kid)?.privateKey;
      if (!key) throw new Error(`There is no key ${kid}.`);
      const now = Math.floor(Date.now() / 1000);
      const payload = { iss: issuer, aud: audience, sub: 'customer', iat: now, exp: now + 300, ...claims };
      return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid, ...header }).sign(key);
    },
  };
}

const past = Math.floor(Date.now() / 1000) - 60;
const unauthorized = { code: 'unauthorized' };

t.test('over HTTP', async (test) => {
  const provider = await openIdentityProvider(test);
  const stranger = await openIdentityProvider(test);
  const service = await startService(
    test,
    undefined,
    settingsIn(test.testdir(), {
      WEBDIST_LEDGER: 'memory:',
      WEBDIST_AUTH_JWKS_URL: provider.settings.jwksUrl,
      WEBDIST_AUTH_ISSUER: issuer,
      WEBDIST_AUTH_AUDIENCE: audience,
    }),
  );
  const ask = async (jwt?: string, headers: Record<string, string> = {}) =>
    post(`${service.url}/install-token`, {}, { ...headers, ...(jwt && { authorization: `Bearer ${jwt}` }) });
  test.equal((await ask(await provider.jwt())).status, 200);
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${(await provider.jwt()).split('.')[1]}.`;
  const shared = await new SignJWT({ iss: issuer, aud: audience, exp: 9e9 })
    .setProtectedHeader({ alg: 'HS256', kid: 'one' })
    .sign(new TextEncoder().encode('a secret that is long enough for HS256'));
  const bad = {
    'no credential': undefined,
    'no JWT': 'hello',
    'another issuer': await provider.jwt('one', { iss: 'https://login.example.org/' }),
    'another audience': await provider.jwt('one', { aud: 'blog' }),
    expired: await provider.jwt('one', { exp: past }),
    'without an expiry': await provider.jwt('one', { exp: undefined } as unknown as JWTPayload),
    'not valid yet': await provider.jwt('one', { nbf: Math.floor(Date.now() / 1000) + 300 }),
    "a stranger's key": await stranger.jwt(),
    'without a signature': unsigned,
    'with a shared secret': shared,
    'changed afterwards': (await provider.jwt()).replace(
      /\.[^.]+\./,
      `.${Buffer.from(JSON.stringify({ iss: issuer, aud: audience, exp: 9e9 })).toString('base64url')}.`,
    ),
  };
  for (const [name, jwt] of Object.entries(bad)) {
    const { status, body } = await ask(jwt);
    test.strictSame([status, body['code']], [401, 'unauthorized'], name);
    if (jwt) test.notOk(JSON.stringify([body, service.log.lines()]).includes(jwt), 'and is told to nobody');
  }
  test.equal(
    (await ask(await provider.jwt(), { origin: 'https://evil.example' })).status,
    403,
    "a foreign page's customer",
  );
  const many = await post(
    `${service.url}/install-tokens`,
    { requests: [{}] },
    { authorization: `Bearer ${await provider.jwt()}` },
  );
  test.equal(many.status, 401, 'a customer is not a server');
  await provider.goAway();
  test.equal((await ask(await provider.jwt())).status, 200, 'while the sign-in is away');
});

t.test('why a JWT is refused: in the metric, and once in the log', async (t) => {
  const [provider, stranger] = [await openIdentityProvider(t as Test), await openIdentityProvider(t as Test)];
  await stranger.addKey('other');
  const now = Math.floor(Date.now() / 1000);
  type Case = [name: string, jwt: string, refusal: string | undefined, claim?: 'aud' | 'client_id'];
  const unset = undefined as unknown as string;
  const cognito = { aud: unset, client_id: audience, token_use: 'access' };
  const cases: Case[] = [
    ['valid', await provider.jwt(), undefined],
    ['expired 3 s ago', await provider.jwt('one', { exp: now - 3 }), undefined],
    ['valid in 3 s', await provider.jwt('one', { nbf: now + 3 }), undefined],
    ['issued in 3 s', await provider.jwt('one', { iat: now + 3 }), undefined],
    ['expired 8 s ago', await provider.jwt('one', { exp: now - 8 }), 'exp'],
    ['valid in 20 s', await provider.jwt('one', { nbf: now + 20 }), 'nbf'],
    ['without an expiry', await provider.jwt('one', { exp: unset as unknown as number }), 'exp'],
    ['no slash', await provider.jwt('one', { iss: 'https://login.example.com' }), 'iss with a hint'],
    ['http', await provider.jwt('one', { iss: 'http://login.example.com/' }), 'iss with a hint'],
    ['capitals', await provider.jwt('one', { iss: 'https://Login.example.com/' }), 'iss with a hint'],
    ['another issuer', await provider.jwt('one', { iss: 'https://login.example.org/' }), 'iss'],
    ['no issuer', await provider.jwt('one', { iss: unset }), 'iss'],
    ['another audience', await provider.jwt('one', { aud: 'blog' }), 'aud'],
    ['several audiences', await provider.jwt('one', { aud: ['blog', audience] }), undefined],
    ['an access token of Cognito', await provider.jwt('one', cognito), 'aud'],
    ['the same, where that is expected', await provider.jwt('one', cognito), undefined, 'client_id'],
    ['of another client', await provider.jwt('one', { ...cognito, client_id: 'blog' }), 'client_id', 'client_id'],
    ['without a client', await provider.jwt(), 'client_id', 'client_id'],
    ['an empty list of audiences', await provider.jwt('one', { aud: [] }), 'aud'],
    ['no customer', await provider.jwt('one', { sub: unset }), undefined],
    ['a number as customer', await provider.jwt('one', { sub: 7 as unknown as string }), 'sub'],
    ['an object as customer', await provider.jwt('one', { sub: {} as unknown as string }), 'sub'],
    ['an empty customer', await provider.jwt('one', { sub: '' }), 'sub'],
    ['a number as typ', await provider.jwt('one', {}, { typ: 5 as unknown as string }), 'typ'],
    ['an expiry as text', await provider.jwt('one', { exp: String(now + 60) as unknown as number }), 'exp'],
    ['typ JWT', await provider.jwt('one', {}, { typ: 'JWT' }), undefined],
    ['typ at+jwt', await provider.jwt('one', {}, { typ: 'at+jwt' }), undefined],
    ['typ application/at+JWT', await provider.jwt('one', {}, { typ: 'application/at+JWT' }), undefined],
    ['typ of a logout', await provider.jwt('one', {}, { typ: 'logout+jwt' }), 'typ'],
    ['typ of a proof', await provider.jwt('one', {}, { typ: 'dpop+jwt' }), 'typ'],
    ['typ of an event', await provider.jwt('one', {}, { typ: 'secevent+jwt' }), 'typ'],
    ["a stranger's key", await stranger.jwt('other'), 'key'],
    ["a stranger's signature", await stranger.jwt('one'), 'signature'],
    ['no JWT', 'hello', 'form'],
    ['no algorithm', `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`, 'alg'],
  ];
  for (const [name, jwt, expected, audienceClaim = 'aud'] of cases) {
    const refusals: string[] = [];
    const signIn = openSignIn({ ...provider.settings, audienceClaim }, ({ reason, hint }) =>
      refusals.push(hint ? `${reason} with a hint` : reason),
    );
    const isAccepted = await signIn.verify(jwt).then(
      () => true,
      () => false,
    );
    t.strictSame([isAccepted, ...refusals], expected === undefined ? [true] : [false, expected], name);
  }
  const settings = settingsIn(t.testdir(), {
    WEBDIST_LEDGER: 'memory:',
    WEBDIST_AUTH_JWKS_URL: provider.settings.jwksUrl,
    WEBDIST_AUTH_ISSUER: issuer,
    WEBDIST_AUTH_AUDIENCE: audience,
  });
  const { url, log } = await startService(t as Test, undefined, settings);
  for (const iss of ['https://login.example.com', 'https://login.example.com', 'https://login.example.org/'])
    await post(`${url}/install-token`, {}, { authorization: `Bearer ${await provider.jwt('one', { iss })}` });
  t.match(await (await fetch(`${url}/metrics`)).text(), /^webdist_sign_ins_refused_total\{reason="iss"\} 3$/m);
  const [line, ...more] = log.events('sign_in_refused');
  t.match(line, /The JWT has the issuer \\"https:\/\/login.example.com\\": set WEBDIST_AUTH_ISSUER to exactly that/);
  t.strictSame(more, [], 'once');
});

t.test('the key is found whatever the JWKS says about it, if it may verify signatures', async (t) => {
  type Key = Awaited<ReturnType<typeof generateKeyPair>>;
  let keys: object[] = [];
  const server = createServer((_request, response) => response.end(JSON.stringify({ keys })));
  t.teardown(() => server.close());
  const jwksUrl = `http://127.0.0.1:${await listen(server)}/`;
  const published = async ({ publicKey }: Key, more: object = {}) => ({ ...(await exportJWK(publicKey)), ...more });
  const jwtOf = ({ privateKey }: Key, header: Partial<JWTHeaderParameters> = {}) =>
    new SignJWT({ iss: issuer, aud: audience, exp: Math.floor(Date.now() / 1000) + 300 })
      .setProtectedHeader({ alg: 'ES256', ...header })
      .sign(privateKey);
  const [one, two, three] = await Promise.all([1, 2, 3].map(() => generateKeyPair('ES256')));
  if (!one || !two || !three) return;
  const secret = Buffer.alloc(32, 7);
  const shared = await new SignJWT({ iss: issuer, aud: audience, exp: 9e9 })
    .setProtectedHeader({ alg: 'HS256', kid: '1' })
    .sign(secret);
  const both = [await published(one, { kid: '1' }), await published(two, { kid: '2' })];
  const same = [await published(one, { kid: '1' }), await published(two, { kid: '1' })];
  const cases: [name: string, jwks: object[], jwt: string, refusal?: string][] = [
    ['no kid, one key', both.slice(0, 1), await jwtOf(one)],
    ['no kid, the first of two', both, await jwtOf(one)],
    ['no kid, the second of two', both, await jwtOf(two)],
    ['no kid, neither of two', both, await jwtOf(three), 'signature'],
    ['two keys with one kid', same, await jwtOf(two, { kid: '1' })],
    ['a key for encryption', [await published(one, { kid: '1', use: 'enc' })], await jwtOf(one, { kid: '1' }), 'key'],
    ['that beside one for signatures', [await published(one, { use: 'enc' }), ...both], await jwtOf(one, { kid: '1' })],
    ['a shared secret', [{ kty: 'oct', kid: '1', k: secret.toString('base64url') }], shared, 'alg'],
    ['a damaged key beside', [{ kty: 'EC', crv: 'P-256', kid: '0', x: 'AA' }, ...both], await jwtOf(one, { kid: '1' })],
  ];
  for (const alg of ['ES384', 'ES512', 'PS256', 'RS256', 'EdDSA', 'Ed25519']) {
    const key = await generateKeyPair(alg);
    cases.push([alg, [await published(key, { kid: '1' })], await jwtOf(key, { alg, kid: '1' })]);
  }
  for (const [name, jwks, jwt, expected] of cases) {
    keys = jwks;
    const refusals: string[] = [];
    const signIn = openSignIn({ jwksUrl, issuer, audience, audienceClaim: 'aud' }, ({ reason }) =>
      refusals.push(reason),
    );
    const isAccepted = await signIn.verify(jwt).then(
      () => true,
      () => false,
    );
    t.strictSame([isAccepted, ...refusals], expected ? [false, expected] : [true], name);
  }
});

t.test('key rotation: the new key is valid at once, the old one until the next refresh', async (test) => {
  const provider = await openIdentityProvider(test);
  const signIn = openSignIn(provider.settings, undefined, { cooldownMs: 0, refreshMs: 0 });
  const old = await provider.jwt('one');
  await signIn.verify(old);
  await provider.addKey('two');
  await signIn.verify(await provider.jwt('two'));
  provider.removeKey('one');
  await until(
    () =>
      signIn.verify(old).then(
        () => false,
        () => true,
      ),
    'the old key no longer counts',
  );
  await test.rejects(signIn.verify(old), unauthorized);
  await signIn.verify(await provider.jwt('two'));
});

t.test('unknown key ids do not cause unlimited fetches', async (test) => {
  const [provider, stranger] = [await openIdentityProvider(test), await openIdentityProvider(test)];
  await stranger.addKey('never');
  const signIn = openSignIn(provider.settings);
  await signIn.verify(await provider.jwt());
  for (let count = 0; count < 20; count++) await test.rejects(signIn.verify(await stranger.jwt('never')), unauthorized);
  test.equal(provider.fetches(), 1);
});

t.test('the JWKS is down: the last known keys are valid, no request waits, and it is fetched again', async (test) => {
  const provider = await openIdentityProvider(test);
  const signIn = openSignIn(provider.settings, undefined, { cooldownMs: 0, refreshMs: 0, maxPauseMs: 50 });
  await signIn.verify(await provider.jwt());
  await provider.goAway();
  for (let count = 0; count < 5; count++) await signIn.verify(await provider.jwt());
  await test.rejects(signIn.verify(await provider.jwt('one', { exp: past })), unauthorized);
  await provider.addKey('two');
  await test.rejects(signIn.verify(await provider.jwt('two')), { code: 'sign_in_unavailable' });
  await provider.comeBack();
  await until(
    async () =>
      signIn.verify(await provider.jwt('two')).then(
        () => true,
        () => false,
      ),
    'the new key is known',
  );
});

t.test('a JWKS that never answered: every JWT is refused, with Retry-After', async (test) => {
  const provider = await openIdentityProvider(test);
  await provider.goAway();
  const signIn = openSignIn(provider.settings);
  await test.rejects(signIn.verify(await provider.jwt()), { code: 'sign_in_unavailable', retryAfterSeconds: 5 });
  await provider.comeBack();
  await signIn.verify(await provider.jwt());
});

t.test('a JWKS that fails is not fetched for every request, and its body is bounded', async (t) => {
  const failing: Readonly<Record<string, (response: ServerResponse) => void>> = {
    'status 500': (response) => response.writeHead(500).end(),
    'no JSON': (response) => response.end('nonsense'),
    'no JWKS': (response) => response.end('{}'),
    'keys that are none': (response) => response.end(`{"keys":[1${',1'.repeat(100_000)}]}`),
    'keys without number': (response) => response.end(`{"keys":[{}${',{}'.repeat(1000)}]}`),
    'an HTML page': (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('{"keys":[]}'),
    'a redirect': (response) => response.writeHead(302, { location: '/jwks.json' }).end(),
    'too much': (response) => response.end(`{"keys":[],"x":"${'x'.repeat(300_000)}"}`),
    'too much after decompression': (response) =>
      response
        .writeHead(200, { 'content-encoding': 'gzip' })
        .end(gzipSync(`{"keys":[],"x":"${'x'.repeat(9_000_000)}"}`)),
  };
  const provider = await openIdentityProvider(t as Test);
  const jwt = await provider.jwt();
  for (const [name, answer] of Object.entries(failing)) {
    let fetches = 0;
    const server = createServer((_request, response) => {
      fetches += 1;
      answer(response);
    });
    t.teardown(() => server.close());
    const jwksUrl = `http://127.0.0.1:${await listen(server)}/jwks.json`;
    const signIn = openSignIn({ ...provider.settings, jwksUrl });
    for (let n = 0; n < 60; n++) await t.rejects(signIn.verify(jwt), { code: 'sign_in_unavailable' });
    t.ok(fetches <= 3, `${name}: ${fetches} fetches for 60 requests`);
  }
});

t.test('requests count against the limits before their credential is verified', async (t) => {
  const provider = await openIdentityProvider(t as Test);
  const settings = settingsIn(t.testdir(), {
    WEBDIST_LEDGER: 'memory:',
    WEBDIST_AUTH_JWKS_URL: provider.settings.jwksUrl,
    WEBDIST_AUTH_ISSUER: issuer,
    WEBDIST_AUTH_AUDIENCE: audience,
    WEBDIST_RATE_LIMIT_ADDRESS: '5',
  });
  const { url } = await startService(t as Test, undefined, settings);
  await provider.goAway();
  for (const path of ['/install-token', '/installs', '/marketplace-kit/restore']) {
    const statuses: number[] = [];
    for (let n = 0; n < 4; n++)
      statuses.push((await post(`${url}${path}`, {}, { authorization: `Bearer ${await provider.jwt()}` })).status);
    t.ok(
      statuses.every((status) => status === 503 || status === 429),
      `${path}: ${statuses}`,
    );
  }
  t.equal((await post(`${url}/install-token`, {})).status, 429, 'all of them counted');
});
