/** The guard of remote signers: limits, breaker and verification, around a backend that the test controls. */

import { generateKeyPairSync, sign } from 'node:crypto';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { WebdistError } from '../../src/errors.ts';
import type { Signer } from '../../src/jws.ts';
import { type GuardOptions, guard } from '../../src/signer/guarded.ts';

const data = Buffer.from('data');
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const right = () => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
const never = () => new Promise<Uint8Array>(() => undefined);
const failing = () => {
  throw new Error('the backend failed');
};

/** A guarded backend. `answer` sets its next answers, and `calls` counts its calls. */
function backend(t: Test, options: GuardOptions = {}) {
  const state = { calls: 0, closed: false, answer: right as () => Promise<Uint8Array> | Uint8Array };
  const signer: Signer = {
    backend: 'testkms',
    publicKey,
    sign() {
      state.calls++;
      return state.answer();
    },
    async close() {
      state.closed = true;
    },
  };
  const guarded = guard(signer, options);
  t.equal(guarded.state, 'closed');
  return { state, guarded };
}

const refusal = (signer: { sign(data: Uint8Array): Promise<Uint8Array> }) =>
  signer.sign(data).then(
    () => {
      throw new Error('Nothing was thrown.');
    },
    (error: WebdistError) => error,
  );

t.test('a valid signature passes', async (t) => {
  const { guarded } = backend(t);
  t.equal(guarded.backend, 'testkms');
  t.equal(guarded.publicKey, publicKey);
  t.equal((await guarded.sign(data)).length, 64);
});

t.test('anything but a signature of this key is never returned', async (t) => {
  const { state, guarded } = backend(t);
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const wrong: Record<string, () => Uint8Array> = {
    'another key': () => sign('sha256', data, { key: other, dsaEncoding: 'ieee-p1363' }),
    'other data': () => sign('sha256', Buffer.from('x'), { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    DER: () => sign('sha256', data, privateKey),
    zeros: () => Buffer.alloc(64),
    nothing: () => Buffer.alloc(0),
  };
  for (const [name, answer] of Object.entries(wrong)) {
    state.answer = answer;
    const error = await refusal(guarded);
    t.match(error, { code: 'signer_unavailable', message: /testkms/, retryAfterSeconds: 1 }, name);
    t.ok(error.cause instanceof Error);
  }
});

t.test('an error keeps its cause, and its message does not show it', async (t) => {
  const { state, guarded } = backend(t);
  const cause = new WebdistError('key_denied', 'The key arn:aws:kms:1234 may not be used.');
  state.answer = () => Promise.reject(cause);
  const error = await refusal(guarded);
  t.equal(error.code, 'signer_unavailable');
  t.equal(error.cause, cause);
  t.notMatch(error.message, /1234/);
});

t.test('a call takes no longer than the timeout', async (t) => {
  const { state, guarded } = backend(t, { timeoutMs: 20 });
  state.answer = never;
  t.match(await refusal(guarded), { code: 'signer_unavailable', message: /did not answer in time/ });
});

t.test('the running and the waiting calls are limited', async (t) => {
  const { state, guarded } = backend(t, { concurrency: 2, queue: 1 });
  const gates = Array.from({ length: 3 }, () => Promise.withResolvers<Uint8Array>());
  state.answer = () => gates[state.calls - 1]?.promise ?? right();
  const calls = [guarded.sign(data), guarded.sign(data), guarded.sign(data)];
  t.match(await refusal(guarded), { code: 'signer_unavailable', message: /too many/, retryAfterSeconds: 1 });
  t.equal(state.calls, 2, 'the third waits');
  for (const gate of gates) gate.resolve(right());
  t.equal((await Promise.all(calls)).length, 3);
  t.equal(state.calls, 3);
});

t.test('calls to a backend that keeps failing are paused, then one is tried', async (t) => {
  let nowMs = Math.ceil(performance.now());
  const monotonic = mock.method(performance, 'now', () => nowMs);
  t.teardown(() => monotonic.mock.restore());
  const pass = (ms: number) => {
    nowMs += ms;
  };
  const { state, guarded } = backend(t, { minimumCalls: 4, pauseMs: 5000 });
  state.answer = failing;
  for (let call = 0; call < 4; call++) await refusal(guarded);
  t.equal(guarded.state, 'open');

  t.match(await refusal(guarded), { code: 'signer_unavailable', message: /calls are paused/, retryAfterSeconds: 5 });
  pass(3500);
  t.match(await refusal(guarded), { retryAfterSeconds: 2 });
  t.equal(state.calls, 4, 'no call is made meanwhile');

  pass(1500);
  t.match(await refusal(guarded), { message: /failed/ });
  t.equal(state.calls, 5, 'one call is tried, and fails');
  t.match(await refusal(guarded), { retryAfterSeconds: 5 });

  pass(5000);
  const gate = Promise.withResolvers<Uint8Array>();
  state.answer = () => gate.promise;
  const trial = guarded.sign(data);
  t.match(
    await refusal(guarded),
    { message: /calls are paused/, retryAfterSeconds: 1 },
    'others do not wait for the trial',
  );
  t.equal(guarded.state, 'open');
  gate.resolve(right());
  await trial;
  t.equal(guarded.state, 'closed');
  state.answer = right;
  await guarded.sign(data);
  t.equal(state.calls, 7);
});

t.test('calls that wait when the breaker opens are refused', async (t) => {
  const { state, guarded } = backend(t, { concurrency: 2, queue: 10, minimumCalls: 2, timeoutMs: 50 });
  state.answer = never;
  const errors = await Promise.all(Array.from({ length: 8 }, () => refusal(guarded)));
  // A slot that becomes free just before the breaker opens is used once more.
  t.ok(state.calls <= 4);
  t.equal(errors.filter((error) => /calls are paused/.test(error.message)).length, 8 - state.calls);
  for (const error of errors) t.match(error, { code: 'signer_unavailable' });
});

t.test('a backend that fails three times in ten is still called', async (t) => {
  const { state, guarded } = backend(t);
  for (let call = 0; call < 200; call++) {
    const fails = [2, 5, 8].includes(call % 10);
    state.answer = fails ? failing : right;
    await (fails ? refusal(guarded) : guarded.sign(data));
  }
  t.equal(state.calls, 200);
  t.equal(guarded.state, 'closed');
});

t.test('throttling keeps its Retry-After and does not open the breaker', async (t) => {
  const { state, guarded } = backend(t, { minimumCalls: 2 });
  state.answer = () => {
    throw new WebdistError('signer_unavailable', 'The key is asked for too often.', { retryAfterSeconds: 7 });
  };
  for (let call = 0; call < 5; call++)
    t.match(await refusal(guarded), { retryAfterSeconds: 7, message: /more requests than it allows/ });
  t.equal(state.calls, 5);
  t.equal(guarded.state, 'closed');
});

t.test('closing waits for the running calls', async (t) => {
  const { state, guarded } = backend(t);
  const gate = Promise.withResolvers<Uint8Array>();
  state.answer = () => gate.promise;
  const call = guarded.sign(data);
  const closing = guarded.close();
  t.equal(state.closed, false);
  gate.resolve(right());
  await call;
  await closing;
  t.equal(state.closed, true);
});
