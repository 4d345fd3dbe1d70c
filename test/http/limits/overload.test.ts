/** Overload: refused early, with Retry-After; and the limits for all pages together. */

import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type OverloadLimits, openLoopMeter } from '../../../src/http/limits/overload.ts';
import { buildServer } from '../../../src/http/server.ts';
import type { IssueRequest } from '../../../src/service/issuing.ts';
import { askToken } from '../../harness/http.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

async function serverWith(t: Test, limits: Partial<OverloadLimits>) {
  const overloadLimits = { maxLagMs: 30, maxUnderWay: 1000, leastUnderWay: 0, holdMs: 0, lagMs: () => 0, ...limits };
  const { service, serverDeps, log } = await startReady(t, await startSandbox(t), { WEBDIST_BUTTON_ERRORS: '1' });
  let hangs: (() => void) | undefined;
  const slow = {
    ...service,
    issue: (request: IssueRequest) => (hangs ? new Promise<never>(hangs) : service.issue(request)),
  };
  const { app, close } = await buildServer({ ...serverDeps, service: slow, overloadLimits });
  t.teardown(close);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    service,
    log,
    close,
    /** Sends a request that is not answered; returns once it has arrived. `hangUp` closes its connection. */
    async hang() {
      const connection = new AbortController();
      const arrived = new Promise<void>((resolve) => {
        hangs = resolve;
      });
      const headers = { 'content-type': 'application/json', origin: 'https://example.com' };
      const request = { method: 'POST', headers, body: '{}', signal: connection.signal };
      const asked = fetch(`${url}/install-token`, request).catch(() => undefined);
      await arrived;
      hangs = undefined;
      return {
        async hangUp() {
          connection.abort();
          await asked;
        },
      };
    },
  };
}

const refusals = async (url: string) =>
  /webdist_overloaded_total\{reason="(\w+)"\} (\d+)/.exec(await (await fetch(`${url}/metrics`)).text());

t.test('too many requests in progress: refused so that a page can read it; health still answers', async (t) => {
  const { url } = await serverWith(t, { maxUnderWay: 0 });
  const refused = await askToken(url);
  t.equal(refused.status, 503);
  t.equal(refused.headers.get('retry-after'), '1');
  t.equal(refused.headers.get('access-control-allow-origin'), 'https://example.com');
  t.match(await refused.json(), { code: 'overloaded', status: 503 });
  const device = await fetch(`${url}/marketplace-kit/updates`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  t.equal(device.status, 503, 'devices, too');
  t.equal((await fetch(`${url}/health/ready`)).status, 200);
  t.equal((await fetch(`${url}/.well-known/jwks.json`)).status, 200);
  t.strictSame((await refusals(url))?.slice(1), ['under_way', '2']);
});

t.test('a refusal is a constant document; preflights and the connection are not refused', async (t) => {
  const { url } = await serverWith(t, { maxUnderWay: 0 });
  for (const [path, body] of [
    ['/install-token', '{}'],
    ['/install-tokens', '{"requests":[]}'],
    ['/installs', 'not JSON'],
    ['/marketplace-kit/restore', '{}'],
    ['/oauth/token', 'grant_type=x'],
    ['/install-token?app=x', '{}'],
    ['/install%2Dtoken', '{}'],
    ['/oauth/code', '{}'],
    ['/button-errors', '{}'],
  ] as const) {
    const refused = await fetch(url + path, { method: 'POST', body });
    t.equal(refused.status, 503, path);
    t.match(refused.headers.get('content-type'), 'application/problem+json');
    t.equal(refused.headers.get('cache-control'), 'no-store');
    t.equal(refused.headers.get('access-control-allow-origin'), null, 'no page sent it');
    t.strictSame(await refused.json(), {
      type: '/problems/overloaded',
      title: 'The server is overloaded',
      status: 503,
      detail: 'Try again in 1 s.',
      code: 'overloaded',
    });
  }
  const preflight = await fetch(`${url}/install-token`, {
    method: 'OPTIONS',
    headers: { origin: 'https://example.com', 'access-control-request-method': 'POST' },
  });
  t.equal(preflight.status, 204);
  for (const path of ['/health/live', '/install-button.js', '/.well-known/jwks.json', '/metrics', '/nothing'])
    t.not((await fetch(url + path)).status, 503, path);
});

t.test('a request that has ended does not count, however it ended', async (t) => {
  const { url, hang } = await serverWith(t, { maxUnderWay: 1 });
  for (let n = 0; n < 5; n++) t.equal((await askToken(url)).status, 200);
  for (let n = 0; n < 5; n++) t.equal((await askToken(url, { app: 'no.such.app' })).status, 404);
  for (let n = 0; n < 5; n++) {
    const { hangUp } = await hang();
    t.equal((await askToken(url)).status, 503, 'while it hangs');
    await hangUp();
    t.ok(await until(async () => (await askToken(url)).status === 200, 'a token after one that hung up'));
  }
});

t.test('a lagging event loop: refused while it lags, served again afterwards', async (t) => {
  let lagMs = 31;
  const { url } = await serverWith(t, { lagMs: () => lagMs });
  t.ok(await until(async () => (await askToken(url)).status === 503, 'a refusal'));
  t.equal((await refusals(url))?.[1], 'lag');
  lagMs = 30;
  t.ok(await until(async () => (await askToken(url)).status === 200, 'a token'));
});

t.test('the lag is how long a turn of the event loop takes, unless it was idle in between', async (t) => {
  const block = (ms: number) => {
    for (const end = performance.now() + ms; performance.now() < end; );
  };
  for (const { name, work, lags } of [
    { name: 'blocked once', work: [300, 'turn'], lags: true },
    { name: 'blocked again and again', work: [40, 'turn', 40, 'turn', 40, 'turn', 40, 'turn'], lags: true },
    { name: 'blocked, then idle', work: [60, 'turn', 'idle'], lags: false },
    { name: 'idle, then blocked', work: ['idle', 60, 'turn'], lags: false },
    { name: 'idle', work: ['idle'], lags: false },
  ] as const) {
    const meter = openLoopMeter();
    await delay(50);
    meter();
    for (const part of work) {
      if (part === 'idle') await delay(200);
      else if (part === 'turn') await nextTurn();
      else block(part);
    }
    const lagMs = meter();
    if (lags) t.ok(lagMs > 20, `${name}: ${lagMs} ms`);
    else t.equal(lagMs, 0, name);
  }
});

t.test('however busy the process is, one request after eight refused ones is accepted', async (t) => {
  const { url } = await serverWith(t, { lagMs: () => 150 });
  const status = async () => (await askToken(url)).status;
  t.ok(await until(async () => (await status()) === 503, 'a refusal'));
  t.ok(await until(async () => (await status()) === 200, 'a token'));
  const statuses: number[] = [];
  for (let n = 0; n < 27; n++) statuses.push(await status());
  const nine = [...Array<number>(8).fill(503), 200];
  t.strictSame(statuses, [...nine, ...nine, ...nine]);
});

for (const { lags, allowed } of [
  { lags: [0, 0, 0], allowed: undefined },
  { lags: [100, 0, 100, 0], allowed: undefined },
  { lags: [100, 100], allowed: 10 },
  { lags: [100, 100, 100, 100], allowed: 10 },
  { lags: [12, 15], allowed: 13 },
  { lags: [15, 12], allowed: 16 },
])
  t.test(`20 under way, and samples that lag by ${lags.join(', ')} ms of at most 10`, async (t) => {
    let samples = [0];
    const { log, hang } = await serverWith(t, { maxLagMs: 10, lagMs: () => samples.shift() ?? 0 });
    const hanging = [];
    for (let n = 0; n < 20; n++) hanging.push(await hang());
    samples = [...lags];
    t.ok(await until(() => samples.length === 0, 'the samples'));
    const lines = log.lines().filter(({ event }) => event === 'overloaded');
    t.strictSame(
      lines.map((line) => line['allowed']),
      allowed === undefined ? [] : [allowed],
    );
    for (const { hangUp } of hanging) await hangUp();
  });

t.test('a lagging event loop still accepts a few requests: they do not cause the lag', async (t) => {
  const { url, hang } = await serverWith(t, { lagMs: () => 150, leastUnderWay: 1 });
  const { hangUp } = await hang();
  t.ok(await until(async () => (await askToken(url)).status === 503, 'a refusal beside one that is under way'));
  await hangUp();
  await until(async () => (await askToken(url)).status === 200, 'a token without it');
  for (let n = 0; n < 10; n++) t.equal((await askToken(url)).status, 200);
});

t.test(
  'while the loop lags, a refusal is held back: one that ignores Retry-After is not answered sooner',
  async (t) => {
    let lagMs = 150;
    const { url } = await serverWith(t, { lagMs: () => lagMs, holdMs: 400 });
    const timed = async () => {
      const began = performance.now();
      const { status, headers } = await askToken(url);
      return { status, isHeld: performance.now() - began >= 290, retryAfter: headers.get('retry-after') };
    };
    t.ok(await until(async () => (await timed()).status === 503, 'a refusal'));
    t.strictSame(await timed(), { status: 503, isHeld: true, retryAfter: '1' });
    t.equal((await fetch(`${url}/health/live`)).status, 200, 'health is never held');
    lagMs = 0;
    t.ok(await until(async () => (await timed()).status === 200, 'a token after the overload'));
    t.strictSame(await timed(), { status: 200, isHeld: false, retryAfter: null });
  },
);

t.test('a refusal that is held while the server closes is sent, and its connection ends', async (t) => {
  // Held for longer than idle connections stay open while the server closes.
  const { url, close } = await serverWith(t, { lagMs: () => 150, holdMs: 1400 });
  t.ok(await until(async () => (await askToken(url)).status === 503, 'a refusal'));
  const count = async () => Number((await refusals(url))?.[2]);
  const before = await count();
  const asked = askToken(url);
  await until(async () => (await count()) > before, 'the refusal that is held');
  await close();
  const refused = await asked;
  t.equal(refused.status, 503);
  t.equal(refused.headers.get('connection'), 'close');
});

t.test('requests beyond the most in progress are refused at once: they do not load the processor', async (t) => {
  const { url } = await serverWith(t, { maxUnderWay: 0, holdMs: 60_000 });
  t.equal((await askToken(url)).status, 503);
});

t.test('limits for one app and for all callers together', async (t) => {
  const settings = { WEBDIST_RATE_LIMIT_APP: '3' };
  const { url } = await startReady(t, await startSandbox(t), settings);
  for (let n = 0; n < 3; n++) t.equal((await askToken(url)).status, 200);
  const refused = await askToken(url, { bundleId: 'com.example.trailmap' });
  t.equal(refused.status, 429, 'the same app by its name');
  t.ok(Number(refused.headers.get('retry-after')) > 0);
  t.match(refused.headers.get('ratelimit-policy'), /"visitor";q=60;w=60.*"app";q=3;w=60/);
  t.equal((await askToken(url, { app: 'no.such.app' })).status, 404, 'an unknown app is not counted');

  const total = await startReady(t, await startSandbox(t), { WEBDIST_RATE_LIMIT_TOTAL: '2' });
  for (let n = 0; n < 2; n++) t.equal((await askToken(total.url)).status, 200);
  t.equal(
    (await askToken(total.url, { app: 'no.such.app' })).status,
    404,
    'an unknown app does not count towards any limit',
  );
  t.equal((await askToken(total.url)).status, 429);
});
