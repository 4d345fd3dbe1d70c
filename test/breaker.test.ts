/** A pause of the circuit breaker has the stated length, even if the wall clock is changed. */

import { BrokenCircuitError, ConsecutiveBreaker, handleAll } from 'cockatiel';
import t from 'tap';
import { openBreaker } from '../src/breaker.ts';
import { until } from './harness/until.ts';

const fail = () => Promise.reject(new Error('down'));
const succeed = () => Promise.resolve('up');

for (const [name, stepMs] of Object.entries({
  kept: 0,
  'set back by an hour': -3_600_000,
  'set ahead by a day': 86_400_000,
}))
  t.test(`the clock is ${name} during the pause`, async (t) => {
    const pauseMs = 100;
    const breaker = openBreaker(handleAll, new ConsecutiveBreaker(2), pauseMs);
    for (const _ of [1, 2]) await t.rejects(breaker.execute(fail), { message: 'down' });
    t.equal(breaker.state, 'paused');
    const now = Date.now;
    Date.now = () => now() + stepMs;
    t.teardown(() => {
      Date.now = now;
    });
    await t.rejects(breaker.execute(succeed), new BrokenCircuitError(), 'still paused');
    const left = breaker.leftMs();
    t.ok(left > 0 && left <= pauseMs, `${left} ms left`);
    await until(() => breaker.leftMs() === 0, 'the end of the pause');
    t.equal(await breaker.execute(succeed), 'up', 'one call is on trial');
    t.equal(breaker.state, 'closed');
  });

t.test('a trial that fails begins another pause; other calls wait for the trial', async (t) => {
  const breaker = openBreaker(handleAll, new ConsecutiveBreaker(1), 50);
  await t.rejects(breaker.execute(fail));
  await until(() => breaker.leftMs() === 0, 'the end of the pause');
  const trial = Promise.withResolvers<never>();
  const first = breaker.execute(() => trial.promise);
  t.equal(breaker.state, 'trial');
  const second = breaker.execute(succeed);
  trial.reject(new Error('still down'));
  await t.rejects(first, { message: 'still down' });
  await t.rejects(second, new BrokenCircuitError());
  t.equal(breaker.state, 'paused');
  t.ok(breaker.leftMs() > 0);
});
