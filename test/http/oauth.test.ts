/** webdist's own OAuth for devices: metadata, exchange, refresh, signing in again (RFC 6749, RFC 7636, RFC 8693; docs/apple-facts.md §3.5). */

import { createHash, randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { askToken } from '../harness/http.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:';
const LOGIN = 'https://example.com/login?from=app';
const verifier = randomBytes(32).toString('base64url');
const challenge = createHash('sha256').update(verifier).digest('base64url');

type Tokens = { access_token: string; refresh_token: string; token_type: string; expires_in: number; error?: string };

const form = (url: string, parameters: Record<string, string> | [string, string][]) =>
  fetch(`${url}/oauth/token`, { method: 'POST', body: new URLSearchParams(parameters) });

async function outcome(url: string, parameters: Record<string, string> | [string, string][]) {
  const answer = await form(url, parameters);
  const body = (await answer.json()) as Tokens;
  return answer.ok ? 'ok' : `${answer.status} ${body.error}`;
}

async function linkTokenOf(url: string): Promise<string> {
  const { installUrl } = (await (await askToken(url)).json()) as { installUrl: string };
  return new URLSearchParams(installUrl.split('?')[1]).get('token') ?? '';
}

async function start(test: Test, settings: Record<string, string> = {}, now: () => number = Date.now) {
  const sandbox = await startSandbox(test);
  return startReady(test, sandbox, { WEBDIST_OAUTH: 'own', WEBDIST_OAUTH_LOGIN_URL: LOGIN, ...settings }, { now });
}

t.test('the metadata has the URLs of this server', async (t) => {
  const { url } = await start(t);
  const answer = await fetch(`${url}/.well-known/oauth-authorization-server`, { redirect: 'error' });
  t.match(await answer.json(), {
    issuer: 'https://example.com',
    authorization_endpoint: 'https://example.com/oauth/authorize',
    token_endpoint: 'https://example.com/oauth/token',
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
  });
});

t.test('off: no metadata, no endpoints, no token in links; the website’s own server: its URLs', async (t) => {
  const sandbox = await startSandbox(t);
  const off = await startReady(t, sandbox, { WEBDIST_OAUTH: 'off' });
  for (const path of ['/.well-known/oauth-authorization-server', '/oauth/authorize'])
    t.equal((await fetch(`${off.url}${path}`)).status, 404, path);
  t.equal(await linkTokenOf(off.url), '');
  await off.stop();
  const own = await startReady(t, sandbox, {
    WEBDIST_OAUTH_AUTHORIZE_URL: 'https://id.example.com/authorize',
    WEBDIST_OAUTH_TOKEN_URL: 'https://id.example.com/token',
    WEBDIST_AUTH_JWKS_URL: 'https://id.example.com/jwks',
    WEBDIST_AUTH_ISSUER: 'https://id.example.com',
    WEBDIST_AUTH_AUDIENCE: 'app',
  });
  t.match(await (await fetch(`${own.url}/.well-known/oauth-authorization-server`)).json(), {
    issuer: 'https://id.example.com',
    token_endpoint: 'https://id.example.com/token',
  });
  t.equal((await form(own.url, {})).status, 404);
});

t.test('every error below /oauth/ has the members of RFC 6749 §5.2', async (t) => {
  const { url } = await start(t);
  for (const [method, path, status] of [
    ['GET', '/oauth/token', 405],
    ['DELETE', '/oauth/token', 405],
    ['POST', '/oauth/authorize', 405],
    ['POST', '/oauth/code', 401],
    ['GET', '/oauth/token/', 404],
    ['GET', '/oauth/%zz', 400],
    ['GET', '/oauth/nothing', 404],
  ] as const) {
    const answer = await fetch(url + path, { method });
    const { detail, ...problem } = (await answer.json()) as { detail: string };
    t.match(problem, { status, error: 'invalid_request', error_description: detail }, `${method} ${path}`);
  }
});

t.test('exchange and refresh', async (t) => {
  let now = Date.now();
  const { url } = await start(t, {}, () => now);
  const subject_token = await linkTokenOf(url);
  const answer = await form(url, {
    grant_type: `${GRANT}token-exchange`,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    client_id: 'opaque',
  });
  t.equal(answer.headers.get('cache-control'), 'no-store');
  t.equal(answer.headers.get('pragma'), 'no-cache');
  const tokens = (await answer.json()) as Tokens;
  t.match(tokens, { token_type: 'bearer', expires_in: 3600 });

  const exchange = { grant_type: `${GRANT}token-exchange`, subject_token };
  t.equal(await outcome(url, exchange), 'ok');
  t.equal(await outcome(url, { ...exchange, grant_type: 'token-exchange' }), 'ok', 'without any prefix');
  const bare = { ...exchange, subject_token_type: 'ietf:params:oauth:token-type:access_token' };
  t.equal(await outcome(url, bare), 'ok', 'as Apple’s table has it (docs/apple-facts.md §11 row 17)');
  t.equal(await outcome(url, { ...exchange, subject_token_type: 'access_token' }), 'ok', 'without any prefix');
  const refreshed = (await (
    await form(url, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token })
  ).json()) as Tokens;
  const refresh = { grant_type: 'refresh_token', refresh_token: refreshed.refresh_token };

  // Every kind of token is valid only for its own purpose.
  t.equal(await outcome(url, { ...exchange, subject_token: tokens.access_token }), '400 invalid_request');
  for (const [changes, expected] of [
    [{ subject_token: 'nonsense' }, '400 invalid_request'],
    [{ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }, '400 invalid_request'],
    [{ requested_token_type: 'urn:ietf:params:oauth:token-type:id_token' }, '400 invalid_request'],
    [{ audience: 'https://other.example.com' }, '400 invalid_target'],
    [{ resource: 'https://other.example.com/' }, '400 invalid_target'],
  ] as const)
    t.equal(await outcome(url, { ...exchange, ...changes }), expected, 'RFC 8693 §2.2.2');
  t.equal(await outcome(url, { ...refresh, refresh_token: tokens.access_token }), '400 invalid_grant');
  t.equal(await outcome(url, { ...refresh, refresh_token: subject_token }), '400 invalid_grant');
  t.equal(await outcome(url, { grant_type: 'password' }), '400 unsupported_grant_type');
  t.equal(await outcome(url, { grant_type: '__proto__' }), '400 unsupported_grant_type');
  t.equal(await outcome(url, {}), '400 invalid_request');
  t.equal(await outcome(url, { grant_type: `${GRANT}token-exchange` }), '400 invalid_request');
  t.equal(
    await outcome(url, [...Object.entries(exchange), ['subject_token', 'twice']]),
    '400 invalid_request',
    'a parameter given twice (RFC 6749 §3.2)',
  );
  const json = await fetch(`${url}/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(exchange),
  });
  t.equal(json.status, 415);
  t.match(await json.json(), {
    error: 'invalid_request',
    error_description: 'content-type: must be application/x-www-form-urlencoded.',
    code: 'unsupported_media_type',
  });
  const used = (await (await form(url, exchange)).json()) as Tokens;
  const reuse = { grant_type: 'refresh_token', refresh_token: used.refresh_token };
  t.equal(await outcome(url, reuse), 'ok');
  for (const [parameters, description] of [
    [
      { ...exchange, subject_token_type: 'x' },
      'subject_token_type: must be urn:ietf:params:oauth:token-type:access_token',
    ],
    [
      { grant_type: 'authorization_code', code: 'x', client_id: 'c', code_verifier: 'short' },
      'code_verifier: is not a code verifier (RFC 7636 section 4.1)',
    ],
    [reuse, 'refresh_token: was used before, so it is no longer valid (RFC 9700 section 4.14.2).'],
  ] as const) {
    const { error_description } = (await (await form(url, parameters)).json()) as { error_description?: string };
    t.equal(error_description, description, 'in the characters of RFC 6749 §5.2');
  }
  now += 1_201_000;
  t.equal(await outcome(url, exchange), '400 invalid_request', 'a link’s token lives as long as the link');
  t.equal(await outcome(url, refresh), 'ok');
});

t.test('signing in again: login page, code, tokens', async (t) => {
  const key = randomBytes(16).toString('hex');
  let now = Date.now();
  const settings = { WEBDIST_API_KEYS: `shop:${createHash('sha256').update(key).digest('hex')}` };
  const { url } = await start(t, settings, () => now);
  const asked = {
    response_type: 'code',
    client_id: 'device-1',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    redirect_uri: 'app-distribution-oauth://',
    state: 'a state&',
    login_hint: 'jo@example.com',
  };
  const authorize = async (changes: Record<string, string> = {}) => {
    const query = new URLSearchParams({ ...asked, ...changes });
    const answer = await fetch(`${url}/oauth/authorize?${query}`, { redirect: 'manual' });
    return { status: answer.status, location: answer.headers.get('location') ?? '' };
  };
  const { status, location } = await authorize();
  t.equal(status, 302);
  const login = new URL(location);
  t.equal(login.origin + login.pathname, 'https://example.com/login');
  t.equal(login.searchParams.get('from'), 'app');
  t.equal(login.searchParams.get('login_hint'), 'jo@example.com');

  const signIn = (request: string | null, apiKey = key) =>
    fetch(`${url}/oauth/code`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
      body: JSON.stringify({ request, subject: 'customer-1' }),
    });
  t.equal((await signIn(login.searchParams.get('request'), 'wrong')).status, 401);
  t.equal((await signIn('nonsense')).status, 401);
  const { redirectUrl } = (await (await signIn(login.searchParams.get('request'))).json()) as { redirectUrl: string };
  t.match(redirectUrl, /^app-distribution-oauth:\/\/\?code=[\w.-]+&state=a%20state%26$/);
  const code = /code=([\w.-]+)/.exec(redirectUrl)?.[1] ?? '';

  const exchange = { grant_type: 'authorization_code', code, code_verifier: verifier, client_id: 'device-1' };
  t.equal(await outcome(url, { ...exchange, code_verifier: 'x'.repeat(43) }), '400 invalid_grant', 'PKCE');
  t.equal(await outcome(url, { ...exchange, client_id: 'device-2' }), '400 invalid_grant');
  t.equal(await outcome(url, { ...exchange, redirect_uri: 'app-distribution-oauth:/x' }), '400 invalid_grant');
  const { access_token, refresh_token } = (await (await form(url, exchange)).json()) as Tokens;
  const newest = (await (await form(url, { grant_type: 'refresh_token', refresh_token })).json()) as Tokens;
  const restore = await fetch(`${url}/marketplace-kit/restore`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${access_token}` },
    body: JSON.stringify({ apps: [{ appleItemId: '6500000001', appleVersionId: '2000000042' }] }),
  });
  t.match(await restore.json(), { restores: [{ appleItemId: '6500000001' }] });
  t.equal(await outcome(url, exchange), '400 invalid_grant', 'a code is good once');
  t.equal(
    await outcome(url, { grant_type: 'refresh_token', refresh_token: newest.refresh_token }),
    '400 invalid_grant',
    'a second use ends the refresh tokens of the first',
  );
  const second = (await (await signIn(login.searchParams.get('request'))).json()) as { redirectUrl: string };
  now += 61_000;
  const late = /code=([\w.-]+)/.exec(second.redirectUrl)?.[1] ?? '';
  t.equal(await outcome(url, { ...exchange, code: late }), '400 invalid_grant', 'and for a minute');

  t.match(
    (await authorize({ code_challenge_method: 'plain' })).location,
    /^app-distribution-oauth:.*error=invalid_request/,
  );
  t.match((await authorize({ response_type: 'token' })).location, /error=unsupported_response_type.*state=/);
  t.match((await authorize({ response_type: '' })).location, /error=/);
  const elsewhere = await authorize({ redirect_uri: 'https://evil.example/' });
  t.equal(elsewhere.status, 400, 'never sends anybody elsewhere');
  t.equal(elsewhere.location, '');
});

t.test('without a login page the device gets access_denied', async (t) => {
  const sandbox = await startSandbox(t);
  const { url } = await startReady(t, sandbox, { WEBDIST_OAUTH: 'own' });
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: 'device-1',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  });
  const answer = await fetch(`${url}/oauth/authorize?${query}`, { redirect: 'manual' });
  t.match(answer.headers.get('location'), /^app-distribution-oauth:\?error=access_denied/);
});

t.test('refresh tokens rotate: a replay ends the family, and the family ends when it was begun to', async (t) => {
  let now = Date.now();
  const { url } = await start(t, { WEBDIST_RATE_LIMIT_ADDRESS: '100000' }, () => now);
  const begin = async () => {
    const subject_token = await linkTokenOf(url);
    return (await (await form(url, { grant_type: 'token-exchange', subject_token })).json()) as Tokens;
  };
  const refresh = async ({ refresh_token }: Tokens) =>
    (await (await form(url, { grant_type: 'refresh_token', refresh_token })).json()) as Tokens;

  const [first, other] = [await begin(), await begin()];
  const second = await refresh(first);
  const third = await refresh(second);
  t.ok(third.access_token);
  for (const [name, replayed] of Object.entries({ first, second, third: (await refresh(third)) && third }))
    t.equal((await refresh(replayed)).error, 'invalid_grant', `a replay of the ${name}`);

  for (const used of [1, 2, 5]) {
    const tokens = [await begin()];
    for (let n = 0; n < used; n++) tokens.push(await refresh(tokens.at(-1) as Tokens));
    t.equal((await refresh(tokens[0] as Tokens)).error, 'invalid_grant', 'a replay of the oldest');
    t.equal((await refresh(tokens.at(-1) as Tokens)).error, 'invalid_grant', `ends the newest of ${used + 1}`);
  }
  t.ok((await refresh(other)).access_token, 'another family goes on');

  const DAY_MS = 24 * 60 * 60 * 1000;
  let latest = await begin();
  for (let day = 0; day < 390; day += 30) {
    now += 30 * DAY_MS;
    latest = await refresh(latest);
    t.ok(latest.access_token, `after ${day + 30} days`);
  }
  now += 11 * DAY_MS;
  t.equal((await refresh(latest)).error, 'invalid_grant', 'after 401 days, although it was refreshed 11 days ago');
});
