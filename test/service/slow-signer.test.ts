/** A service with a remote key, while the backend is slow, fails, throttles or is gone: callers get an error quickly. */

import t, { type Test } from 'tap';
import { askToken } from '../harness/http.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { type Running, startReady } from '../harness/service.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { administer, startVault, type VaultStandIn } from '../harness/stand-ins/vault.ts';
import { until } from '../harness/until.ts';

/** A hundred simultaneous requests, in a process that also runs the backend, would count as an overload. */
const NEVER_OVERLOADED = { maxLagMs: Number.POSITIVE_INFINITY, maxUnderWay: 1000, leastUnderWay: 1000, holdMs: 0 };

const generous = { WEBDIST_RATE_LIMIT: '1000000', WEBDIST_RATE_LIMIT_ADDRESS: '1000000' };

async function setUp(t: Test): Promise<{ vault: VaultStandIn; running: Running }> {
  const vault = await startVault();
  t.teardown(() => vault[Symbol.asyncDispose]());
  const admin = (path: string, body: object) => administer(vault.url, vault.rootToken, 'POST', path, body);
  await admin('sys/mounts/transit', { type: 'transit' });
  await admin('transit/keys/camping', { type: 'ecdsa-p256' });
  const place = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken, WEBDIST_KEY: 'hashivault://camping' };
  const running = await startReady(
    t,
    await startSandbox(t),
    { ...generous, ...place },
    { overloadLimits: NEVER_OVERLOADED },
  );
  await running.service.reconcile();
  return { vault, running };
}

/** Requests `count` tokens at once; returns the responses, and how health answered meanwhile. */
async function ask({ url }: Running, count: number) {
  let slowestHealthMs = 0;
  let healthAnswers = 0;
  let ended = false;
  const health = (async () => {
    while (!ended) {
      const began = performance.now();
      await (await fetch(`${url}/health/live`)).text();
      healthAnswers += 1;
      slowestHealthMs = Math.max(slowestHealthMs, performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const answers = await Promise.all(
    Array.from({ length: count }, async () => {
      const answer = await askToken(url);
      const { code } = (await answer.json()) as { code?: string };
      return { status: answer.status, code, retryAfter: Number(answer.headers.get('retry-after')) };
    }),
  );
  ended = true;
  await health;
  return { answers, slowestHealthMs, healthAnswers };
}

t.jobs = 5;
for (const fault of ['slow', 'broken', 'throttled', 'dropped', 'denied'] satisfies Fault[])
  t.test(fault, { buffered: true }, async (t) => {
    const { vault, running } = await setUp(t);
    t.equal((await askToken(running.url)).status, 200);
    vault.fault = fault;
    const { answers, slowestHealthMs, healthAnswers } = await ask(running, 100);
    // A hundred callers share 32 slots, each held for up to two seconds: health must not wait for any of them.
    if (fault === 'slow') t.ok(healthAnswers > 20, 'health answers all the while');
    t.comment(`health answered ${healthAnswers} times, the slowest in ${slowestHealthMs.toFixed(0)} ms`);
    for (const answer of answers)
      if (answer.code !== 'signer_unavailable' || !(answer.retryAfter >= 1)) t.fail(`${answer.status} ${answer.code}`);
    const key = () => running.service.health().apps['com.example.trailmap']?.key;
    if (fault !== 'throttled') t.match(key(), { state: 'degraded', code: 'signer_unavailable' }, 'health says so');
    vault.fault = undefined;
    await until(async () => (await askToken(running.url)).status === 200, 'signing again by itself');
    t.match(key(), { state: 'ok' });
  });

t.test('three in ten calls fail: the others are served', async (t) => {
  const { vault, running } = await setUp(t);
  let calls = 0;
  vault.onRequest = () => {
    vault.fault = calls++ % 10 < 3 ? 'broken' : undefined;
  };
  const statuses: number[] = [];
  for (let index = 0; index < 100; index++) statuses.push((await askToken(running.url)).status);
  const served = statuses.filter((status) => status === 200).length;
  t.ok(served >= 60, `${served} of 100 were served`);
});
