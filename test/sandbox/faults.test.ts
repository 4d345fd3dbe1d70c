/** Faults, and the request log, which shows them. */

import t from 'tap';
import { apiToken, call, control, DOMAINS, domainEntity, KEYS, outcome } from '../harness/apple-client.ts';
import { startSandbox } from '../harness/sandbox.ts';

t.test('an Apple error for a path and a method, a given number of times', async (t) => {
  const sandbox = await startSandbox(t);
  const fault = { path: '/v1/alternative', method: 'get', status: 503, retryAfterSeconds: 7, times: 2 };
  t.equal((await control(sandbox, 'POST', 'faults', fault)).status, 201);
  t.equal((await call(sandbox, 'GET', '/v1/apps')).status, 200, 'another path');
  t.equal(outcome(await call(sandbox, 'POST', KEYS, 'x')), '400 ENTITY_INVALID', 'another method');
  const answer = await call(sandbox, 'GET', KEYS);
  t.equal(outcome(answer), '503 UNEXPECTED_ERROR');
  t.equal(answer.headers.get('retry-after'), '7');
  t.equal((await control(sandbox, 'GET', 'faults')).body[0].times, 1);
  t.equal((await call(sandbox, 'GET', DOMAINS)).status, 503);
  t.equal((await call(sandbox, 'GET', DOMAINS)).status, 200, 'used up');
  t.strictSame((await control(sandbox, 'GET', 'faults')).body, []);
});

t.test('a given code, the default codes, HTML', async (t) => {
  const sandbox = await startSandbox(t);
  const code = 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED';
  const faults: [fault: object, outcome: string][] = [
    [{ status: 403, code }, `403 ${code}`],
    [{ status: 403 }, '403 FORBIDDEN_ERROR'],
    [{ status: 401 }, '401 NOT_AUTHORIZED'],
    [{ status: 429 }, '429 RATE_LIMIT_EXCEEDED'],
    [{ status: 502, html: true }, '502'],
    [{ status: 200, html: true }, '200'],
  ];
  for (const [fault, expected] of faults) {
    await control(sandbox, 'POST', 'faults', fault);
    const answer = await call(sandbox, 'GET', '/v1/apps');
    t.equal(outcome(answer), expected, 'the newest wins');
    t.equal(answer.text.startsWith('<html>'), 'html' in fault);
    t.ok(answer.headers.get('x-rate-limit'));
  }
  await control(sandbox, 'DELETE', 'faults');
  t.equal(outcome(await call(sandbox, 'GET', '/v1/apps')), '200');
});

t.test('a connection dropped before or after the work', async (t) => {
  const sandbox = await startSandbox(t);
  const post = (domain: string) => call(sandbox, 'POST', DOMAINS, domainEntity(domain));
  await control(sandbox, 'POST', 'faults', { drop: true, times: 1 });
  await t.rejects(post('a.example'), TypeError);
  await control(sandbox, 'POST', 'faults', { drop: 'after', times: 1 });
  await t.rejects(post('b.example'), TypeError);
  const { data } = (await call(sandbox, 'GET', DOMAINS)).body;
  t.strictSame(
    data.map(({ attributes }) => attributes['domain']),
    ['b.example'],
  );
  t.strictSame((await control(sandbox, 'GET', 'requests')).body, [
    { method: 'POST', path: DOMAINS, status: 0 },
    { method: 'POST', path: DOMAINS, status: 0 },
    { method: 'GET', path: DOMAINS, status: 200 },
  ]);
  t.equal((await control(sandbox, 'DELETE', 'requests')).status, 204);
  t.strictSame((await control(sandbox, 'GET', 'requests')).body, []);
});

t.test('a wrong clock together with another fault', async (t) => {
  const now = Date.now();
  const sandbox = await startSandbox(t, { now: () => now });
  const ask = (clock: number) =>
    call(sandbox, 'GET', '/v1/apps', undefined, { authorization: `Bearer ${apiToken(sandbox, {}, clock)}` });
  for (const seconds of [-300, 900]) {
    await control(sandbox, 'POST', 'faults', { clockSkewSeconds: seconds });
    const refused = await ask(now);
    t.equal(outcome(refused), '401 NOT_AUTHORIZED');
    t.equal(Date.parse(refused.headers.get('date') ?? ''), Math.floor(now / 1000 + seconds) * 1000);
    t.equal(outcome(await ask(now + seconds * 1000)), '200');
  }
  await control(sandbox, 'POST', 'faults', { status: 500, times: 1 });
  const both = await ask(now);
  t.equal(both.status, 500);
  t.equal(Date.parse(both.headers.get('date') ?? ''), Math.floor(now / 1000 + 900) * 1000);
});

t.test('a delay, which ends when the sandbox closes', async (t) => {
  const sandbox = await startSandbox(t);
  await control(sandbox, 'POST', 'faults', { latencyMs: 20 });
  t.equal((await call(sandbox, 'GET', '/v1/apps')).status, 200, 'the usual answer');
  await control(sandbox, 'POST', 'faults', { latencyMs: 600_000 });
  const waiting = t.rejects(call(sandbox, 'GET', '/v1/apps'), TypeError);
  t.equal((await control(sandbox, 'GET', 'requests')).status, 200, 'no fault for the own paths');
  await sandbox.close();
  await waiting;
});

t.test('a fault as curl posts it', async (t) => {
  const sandbox = await startSandbox(t);
  const form = 'application/x-www-form-urlencoded';
  t.equal((await control(sandbox, 'POST', 'faults', { status: 500 }, form)).status, 201);
});

t.test('invalid faults', async (t) => {
  const sandbox = await startSandbox(t);
  const refused: unknown[] = [
    'nonsense',
    [],
    {},
    { times: 3 },
    { status: 200 },
    { status: 302 },
    { status: 700 },
    { status: '503' },
    { code: 'NOT_FOUND' },
    { html: true },
    { drop: true, status: 500 },
    { status: 500, html: true, code: 'X' },
    { status: 500, times: 0 },
    { path: 'v1', status: 500 },
    { latencyMs: -1 },
    { stauts: 500 },
  ];
  for (const fault of refused) {
    const { status, body } = await control(sandbox, 'POST', 'faults', fault);
    t.match({ status, body }, { status: 400, body: { status: 400, detail: /./ } }, JSON.stringify(fault));
  }
  t.strictSame((await control(sandbox, 'GET', 'faults')).body, []);
});
