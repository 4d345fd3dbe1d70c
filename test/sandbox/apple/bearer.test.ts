/** Which bearer JWTs the simulated App Store Connect accepts, and the reasons that it gives for refusals. */

import { createHmac, createPrivateKey, sign } from 'node:crypto';
import t from 'tap';
import type { Sandbox } from '../../../src/sandbox/sandbox.ts';
import { apiToken, type Changes, call, jws, KEYS, newKey, outcome } from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const nowSeconds = Math.floor(Date.now() / 1000);

const ask = (sandbox: Sandbox, token: string, path = '/v1/apps', method = 'GET') =>
  call(sandbox, method, path, method === 'POST' ? {} : undefined, { authorization: `Bearer ${token}` });

t.test('a team key, up to the limits', async (t) => {
  const sandbox = await startSandbox(t);
  const sound: Record<string, Changes> = {
    usual: {},
    'exactly 20 minutes': { claims: { iat: nowSeconds - 5, exp: nowSeconds + 1195 } },
  };
  for (const [name, changes] of Object.entries(sound))
    t.equal(outcome(await ask(sandbox, apiToken(sandbox, changes))), '200', name);
});

t.test('what widely used clients send is accepted with a warning', async (t) => {
  const sandbox = await startSandbox(t);
  const usual = { iat: undefined, exp: nowSeconds + 600 };
  for (const [claims, warning] of [
    [usual, /has no iat:/],
    [{ ...usual, exp: nowSeconds + 1199 }, /has no iat:/],
    [{ aud: ['appstoreconnect-v1'] }, /has aud in an array:/],
    [{ iat: nowSeconds - 5.5 }, /a time with a fraction/],
    // asc-go, through version 4 of its JWT library
    [{ ...usual, aud: ['appstoreconnect-v1'], exp: nowSeconds + 1199.25 }, /no iat, aud in an array, a time with/],
  ] as const) {
    const answer = await ask(sandbox, apiToken(sandbox, { claims }));
    t.equal(outcome(answer), '200');
    t.match(answer.headers.get('x-sandbox-warning'), warning);
  }
  t.equal((await ask(sandbox, apiToken(sandbox))).headers.get('x-sandbox-warning'), null);
});

t.test('every refusal gives its reason', async (t) => {
  const sandbox = await startSandbox(t);
  const refused: [name: string, changes: Changes, reason: RegExp][] = [
    ['alg', { header: { alg: 'ES384' } }, /header: .*alg/s],
    ['typ', { header: { typ: undefined } }, /header: .*typ/s],
    ['crit', { header: { crit: ['exp'] } }, /header: .*crit/s],
    ['unknown kid', { header: { kid: 'AAAAAAAAAA' } }, /kid is not/],
    ['no kid', { header: { kid: undefined } }, /header: .*kid/s],
    ['signature', { key: newKey().privateKey }, /signature does not verify/],
    ['aud', { claims: { aud: 'AppleDownloadVerification-v1' } }, /aud/],
    ['several audiences', { claims: { aud: ['appstoreconnect-v1', 'other'] } }, /aud/],
    ['another issuer', { claims: { iss: 'someone' } }, /issuer id/],
    ['no issuer', { claims: { iss: undefined } }, /issuer id/],
    ['iss and sub', { claims: { sub: 'user' } }, /no sub/],
    ['no iat, and more than 20 minutes', { claims: { iat: undefined, exp: nowSeconds + 1300 } }, /exp - now is more/],
    ['no iat, and over', { claims: { iat: undefined, exp: nowSeconds - 1 } }, /exp is in the past/],
    ['a clock a little ahead', { claims: { iat: nowSeconds + 20 } }, /iat is in the future/],
    ['no exp', { claims: { exp: undefined } }, /exp/],
    ['iat as text', { claims: { iat: String(nowSeconds) } }, /iat/],
    ['in the future', { claims: { iat: nowSeconds + 45 } }, /iat is in the future/],
    ['in milliseconds', { claims: { iat: nowSeconds * 1000, exp: nowSeconds * 1000 + 600 } }, /iat is in the future/],
    ['over', { claims: { iat: nowSeconds - 700, exp: nowSeconds - 1 } }, /exp is in the past/],
    ['a second more than 20 minutes', { claims: { iat: nowSeconds - 5, exp: nowSeconds + 1196 } }, /20 minutes/],
    ['exp before iat', { claims: { iat: nowSeconds + 60, exp: nowSeconds + 30 } }, /exp is not after iat/],
    ['bid', { claims: { bid: 'com.example.trailmap' } }, /In-App Purchase/],
    ['scope that is not a list', { claims: { scope: 'GET /v1/apps' } }, /scope/],
  ];
  for (const [name, changes, reason] of refused) {
    const answer = await ask(sandbox, apiToken(sandbox, changes));
    t.equal(outcome(answer), '401 NOT_AUTHORIZED', name);
    t.match(answer.body.errors[0], { status: '401', detail: reason, title: /missing or invalid/ }, name);
  }
});

t.test('values that are not an ES256 JWT', async (t) => {
  const sandbox = await startSandbox(t);
  const sound = apiToken(sandbox);
  const [header = '', payload = ''] = sound.split('.');
  const hmacHeader = Buffer.from(JSON.stringify({ alg: 'HS256', kid: 'A', typ: 'JWT' })).toString('base64url');
  const hmac = createHmac('sha256', 'secret').update(`${hmacHeader}.${payload}`).digest('base64url');
  const der = sign('sha256', Buffer.from(`${header}.${payload}`), newKey().privateKey).toString('base64url');
  for (const token of [
    '',
    'x',
    `${header}.${payload}.`,
    `${hmacHeader}.${payload}.${hmac}`,
    `${header}.${payload}.${der}`,
  ])
    t.equal(outcome(await ask(sandbox, token)), '401 NOT_AUTHORIZED', token.slice(-10));
  const noText = jws({ alg: 'ES256', kid: sandbox.settings['ASC_KEY_ID'], typ: 'JWT' }, ['x'], newKey().privateKey);
  t.equal(outcome(await ask(sandbox, noText)), '401 NOT_AUTHORIZED');
  for (const authorization of ['', `Basic ${sound}`, sound])
    t.equal(outcome(await call(sandbox, 'GET', '/v1/apps', undefined, { authorization })), '401 NOT_AUTHORIZED');
});

t.test('an individual key has sub and no iss; an In-App Purchase key is refused', async (t) => {
  const sandbox = await startSandbox(t);
  const { individualKey, inAppPurchaseKey } = sandbox;
  const individual = (claims: object) =>
    ask(
      sandbox,
      apiToken(sandbox, {
        header: { kid: individualKey.keyId },
        claims,
        key: createPrivateKey(individualKey.privateKeyPem),
      }),
    );
  t.equal(outcome(await individual({ iss: undefined, sub: 'user' })), '200');
  for (const claims of [{ sub: 'user' }, { iss: undefined }, { iss: undefined, sub: 'admin' }])
    t.equal(outcome(await individual(claims)), '401 NOT_AUTHORIZED');
  const key = createPrivateKey(inAppPurchaseKey.privateKeyPem);
  const answer = await ask(sandbox, apiToken(sandbox, { header: { kid: inAppPurchaseKey.keyId }, key }));
  t.match(answer.body.errors[0], { code: 'NOT_AUTHORIZED', detail: /In-App Purchase/ });
});

t.test('a scoped JWT is valid only for the GETs that it lists', async (t) => {
  const sandbox = await startSandbox(t);
  const scoped = (scope: string[]) => apiToken(sandbox, { claims: { scope } });
  const token = scoped(['POST /v1/apps', 'GET /v1/apps?filter[bundleId]=a.b&fields[apps]=name']);
  t.equal(outcome(await ask(sandbox, token, '/v1/apps?fields[apps]=name&filter[bundleId]=a.b&limit=3')), '200');
  t.equal(outcome(await ask(sandbox, token, '/v1/apps')), '403 FORBIDDEN_ERROR');
  t.equal(outcome(await ask(sandbox, token, KEYS)), '403 FORBIDDEN_ERROR');
  t.equal(outcome(await ask(sandbox, scoped([`POST ${KEYS}`, `GET ${KEYS}`]), KEYS, 'POST')), '403 FORBIDDEN_ERROR');
});

t.test('the hourly limit of each key is a rolling window', async (t) => {
  let now = Date.now();
  const sandbox = await startSandbox(t, { requestsPerHour: 3, now: () => now });
  const { keyId, privateKeyPem } = sandbox.individualKey;
  const ask = (changes: Changes = {}) =>
    call(sandbox, 'GET', '/v1/apps', undefined, { authorization: `Bearer ${apiToken(sandbox, changes, now)}` });
  const left = async () => (await ask()).headers.get('x-rate-limit');
  t.equal(await left(), 'user-hour-lim:3;user-hour-rem:2;');
  now += 30 * 60_000;
  t.equal(await left(), 'user-hour-lim:3;user-hour-rem:1;');
  t.equal(await left(), 'user-hour-lim:3;user-hour-rem:0;');
  const refused = await ask();
  t.equal(outcome(refused), '429 RATE_LIMIT_EXCEEDED');
  t.equal(refused.headers.get('x-rate-limit'), 'user-hour-lim:3;user-hour-rem:0;');
  const other = {
    header: { kid: keyId },
    claims: { iss: undefined, sub: 'user' },
    key: createPrivateKey(privateKeyPem),
  };
  t.equal(outcome(await ask(other)), '200', 'another key has its own');
  now += 31 * 60_000;
  t.equal(await left(), 'user-hour-lim:3;user-hour-rem:0;', 'only the first has left the hour');
});
