/** Overload: refused early, with Retry-After; and the limits for all pages together. */

import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type OverloadLimits, openLoopMeter } from '../../../src/http/limits/overload.ts';
import { buildServer } from '../../../src/http/server.ts';
import type { IssueRequest } from '../../../src/service/issuing.ts';
import { askToken } from '../../harness/http.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

async function serverWith(t: Test, limits: Partial<OverloadLimits>) {
  const overloadLimits = { maxLagMs: 30, maxUnderWay: 1000, leastUnderWay: 0, lagMs: () => 0, ...limits };
  const { service, serverDeps } = await startReady(t, await startSandbox(t), { WEBDIST_BUTTON_ERRORS: '1' });
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
      type: 'urn:webdist:problem:overloaded',
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

t.test('the lag is how much later than due the event loop turns', async (t) => {
  const meter = openLoopMeter();
  t.teardown(() => meter.close());
  await delay(50);
  meter.lagMs();
  const end = performance.now() + 300;
  while (performance.now() < end);
  await delay(1);
  t.ok(meter.lagMs() > 30);
});

t.test('a lagging event loop still accepts a few requests: they do not cause the lag', async (t) => {
  const { url, hang } = await serverWith(t, { lagMs: () => 150, leastUnderWay: 1 });
  const { hangUp } = await hang();
  t.ok(await until(async () => (await askToken(url)).status === 503, 'a refusal beside one that is under way'));
  await hangUp();
  await until(async () => (await askToken(url)).status === 200, 'a token without it');
  for (let n = 0; n < 10; n++) t.equal((await askToken(url)).status, 200);
});

t.test('limits for one app and for all callers together', async (t) => {
  const settings = { WEBDIST_RATE_LIMIT_APP: '3' };
  const { url } = await startReady(t, await startSandbox(t), settings);
  for (let n = 0; n < 3; n++) t.equal((await askToken(url)).status, 200);
  const refused = await askToken(url, { bundleId: 'com.example.trailmap' });
  t.equal(refused.status, 429, 'the same app by its name');
  t.ok(Number(refused.headers.get('retry-after')) > 0);
  t.match(refused.headers.get('ratelimit-policy'), /"visitor";q=60;w=60.*"app";q=3;w=60/);
  t.equal((await askToken(url, { app: 'no.such.app' })).status, 404, 'what is no app is not counted as one');

  const total = await startReady(t, await startSandbox(t), { WEBDIST_RATE_LIMIT_TOTAL: '2' });
  for (let n = 0; n < 2; n++) t.equal((await askToken(total.url)).status, 200);
  t.equal((await askToken(total.url, { app: 'no.such.app' })).status, 404, 'what is no app counts nowhere');
  t.equal((await askToken(total.url)).status, 429);
});
