/**
 * Arbitrary requests to any path, with or without a credential: no 500, no hang, errors are problem documents, and
 * neither response nor log contains a secret. `npm run test:nightly` makes more of them.
 */

import { createHash, randomBytes } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { apiToken } from '../harness/apple-client.ts';
import { askToken } from '../harness/http.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';
import { type Known, requestsAnywhere, requestsTo, requestsToSandbox, type Sent } from './requests.ts';
import { HANG_MS, SUSPICIOUS_MS } from './rules.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 50);
const API_KEY = randomBytes(24).toString('base64url');
const LEDGER_SECRET = randomBytes(32).toString('base64url');

/** With everything turned on, so that every path exists. */
const settings = {
  WEBDIST_RATE_LIMIT: '1000000000',
  WEBDIST_RATE_LIMIT_ADDRESS: '1000000000',
  WEBDIST_ANONYMOUS: 'any',
  WEBDIST_API_KEYS: `fuzz:${createHash('sha256').update(API_KEY).digest('hex')}`,
  WEBDIST_LEDGER_SECRET: LEDGER_SECRET,
  WEBDIST_OAUTH: 'own',
  WEBDIST_OAUTH_LOGIN_URL: 'https://example.com/login',
  WEBDIST_COUNTRY_HEADER: 'x-country',
  WEBDIST_TRUST_PROXY: '127.0.0.1',
};

/** Valid credentials of each kind, which are sent unchanged or damaged. */
async function credentialsOf(url: string): Promise<Known & { readonly installUrl: string }> {
  const answer = await askToken(url);
  const { installUrl, nonce } = (await answer.json()) as { installUrl: string; nonce: string };
  const subject_token = new URLSearchParams(installUrl.split('?')[1]).get('token') ?? '';
  const grant_type = 'urn:ietf:params:oauth:grant-type:token-exchange';
  const body = new URLSearchParams({ grant_type, subject_token });
  const exchanged = await fetch(`${url}/oauth/token`, { method: 'POST', body });
  const { access_token, refresh_token } = (await exchanged.json()) as { access_token: string; refresh_token: string };
  const cookie = /webdist_device=[^;]+/.exec(answer.headers.getSetCookie().join())?.[0] ?? '';
  const asked = {
    response_type: 'code',
    client_id: 'x',
    code_challenge: 'c'.repeat(43),
    code_challenge_method: 'S256',
  };
  const toLogin = await fetch(`${url}/oauth/authorize?${new URLSearchParams(asked)}`, { redirect: 'manual' });
  const login = new URL(toLogin.headers.get('location') ?? '').searchParams.get('request') ?? '';
  return { apiKey: API_KEY, cookie, nonce, subject_token, access_token, refresh_token, login, installUrl };
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
t.teardown(() => agent.destroy());

function send(url: string, { method, path, headers, body }: Sent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { protocol, hostname, port } = new URL(url);
    const bytes = body === undefined ? undefined : Buffer.from(body);
    // Node does not send the body of methods that normally have none.
    const all = { ...headers, ...(bytes && { 'content-length': String(bytes.length) }) };
    const answered = async (answer: IncomingMessage) => {
      const text = (await answer.toArray()).join('');
      resolve({ status: answer.statusCode ?? 0, text });
    };
    const sent = request({ protocol, hostname, port, method, path, headers: all, agent, timeout: 30_000 }, answered);
    sent.on('timeout', () => sent.destroy(new Error('no answer in 30 s')));
    sent.on('error', (error: NodeJS.ErrnoException) => {
      // On a busy machine, the server may just have closed a connection that was idle for too long.
      if (sent.reusedSocket && error.code === 'ECONNRESET') resolve(send(url, { method, path, headers, body }));
      else reject(error);
    });
    sent.end(bytes);
  });
}

/** Sends a request; this thread's CPU time covers both client and server. */
async function timed(url: string, sent: Sent) {
  const before = process.threadCpuUsage();
  const answer = await send(url, sent);
  const { user, system } = process.threadCpuUsage(before);
  return { ...answer, ms: (user + system) / 1000 };
}

/** Sends requests to a server and checks each response against the rules. */
async function fuzz(t: Test, url: string, requests: fc.Arbitrary<Sent>, secrets: readonly string[]) {
  const figures = { inputs: 0, slowestMs: 0, statuses: {} as Record<number, number> };
  const rule = async (sent: Sent) => {
    const { status, text, ms } = await timed(url, sent);
    const shorter = ms > SUSPICIOUS_MS ? Math.min(ms, (await timed(url, sent)).ms) : ms;
    figures.inputs += 1;
    figures.slowestMs = Math.max(figures.slowestMs, shorter);
    figures.statuses[status] = (figures.statuses[status] ?? 0) + 1;
    if (shorter > HANG_MS) throw new Error(`${Math.round(shorter)} ms for one request`);
    if (status >= 500) throw new Error(`${status}: ${text}`);
    for (const secret of secrets) if (text.includes(secret)) throw new Error('the answer holds a secret');
    if (status < 400 || text === '') return;
    const { code, error, errors, detail } = JSON.parse(text) as Record<string, unknown>;
    if (!code && !error && !errors && !detail) throw new Error(`no problem: ${text}`);
  };
  await fc.assert(fc.asyncProperty(requests, rule), { numRuns });
  t.comment(JSON.stringify(figures));
  return figures;
}

t.test('the service', async (t) => {
  const sandbox = await startSandbox(t);
  const running = await startReady(t, sandbox, settings);
  const known = await credentialsOf(running.url);
  const secrets = [API_KEY, LEDGER_SECRET, sandbox.settings['ASC_PRIVATE_KEY_B64'] ?? '', known.access_token];
  const all = { ...requestsTo(known), 'any address': requestsAnywhere(known) };
  for (const [name, requests] of Object.entries(all))
    await t.test(name, async (t) => {
      const { inputs, statuses } = await fuzz(t, running.url, requests, secrets);
      t.ok(inputs >= numRuns, `${inputs} requests`);
      // If there are only a few random requests, all of them can be bad.
      if (name !== 'any address' && numRuns >= 500)
        t.ok(statuses[200] || statuses[204] || statuses[302], 'some of them good');
      t.equal((await fetch(`${running.url}/health/ready`)).status, 200, 'still ready');
    });
  await t.test('requests that once got a 500', async (t) => {
    t.equal((await fetch(`${running.url}/oauth/token`, { method: 'POST' })).status, 400, 'no body, no content type');
    for (const path of ['/*!', '/a*b', '/:a(', '/(', '/:'])
      t.equal((await fetch(running.url + path)).status, 404, `${path}: like the pattern of a route`);
  });
  await t.test('any bytes on the socket', async (t) => {
    const { hostname, port } = new URL(running.url);
    const line = fc.constantFrom('GET / HTTP/1.1\r\n', 'POST /install-token HTTP/1.1\r\n', 'host: x\r\n', '\r\n');
    const chunked = fc.constantFrom(
      'transfer-encoding: chunked\r\n',
      'content-length: 5\r\n',
      '5\r\nabcde\r\n0\r\n\r\n',
    );
    const bytes = fc.array(fc.oneof(line, chunked, fc.string(), fc.uint8Array()), { maxLength: 12 });
    const rule = (parts: readonly (string | Uint8Array)[]) =>
      new Promise<void>((resolve, reject) => {
        const socket = connect({ host: hostname, port: Number(port) });
        socket.setTimeout(30_000, () => socket.destroy(new Error('no end in 30 s')));
        socket.on('data', (chunk) => {
          if (/^HTTP\/1\.1 5/.test(chunk.toString('latin1'))) reject(new Error(chunk.toString('latin1')));
        });
        socket.on('error', (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
        });
        socket.on('close', () => resolve());
        socket.end(Buffer.concat(parts.map((part) => Buffer.from(part))));
      });
    await fc.assert(fc.asyncProperty(bytes, rule), { numRuns: Math.ceil(numRuns / 5) });
    t.equal((await fetch(`${running.url}/health/ready`)).status, 200);
  });
  const log = running.log.text();
  t.notMatch(log, /eyJ[\w-]+\.eyJ/, 'no token in the log');
  t.notOk(
    [...secrets, 'webdist_device='].some((secret) => log.includes(secret)),
    'no secret in the log',
  );
});

t.test('the simulated App Store Connect and device', async (t) => {
  const sandbox = await startSandbox(t, { requestsPerHour: 1_000_000_000 });
  const running = await startReady(t, sandbox, settings);
  const { installUrl } = await credentialsOf(running.url);
  const secrets = [sandbox.settings['ASC_PRIVATE_KEY_B64'] ?? '', 'PRIVATE KEY'];
  const bearer = apiToken(sandbox, { claims: { exp: Math.floor(Date.now() / 1000) + 1190 } });
  const { statuses } = await fuzz(t, sandbox.baseUrl, requestsToSandbox(bearer, installUrl), secrets);
  t.ok(statuses[200], 'some of them good');
});
