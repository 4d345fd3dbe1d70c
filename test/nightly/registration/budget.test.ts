/** Ten replicas with 200 apps stay within a tenth of Apple's hourly limit, in virtual time. */

import t from 'tap';
import { openFleet } from '../../harness/fleet.ts';

const HOUR_MS = 60 * 60 * 1000;
/** A tenth of Apple's limit of 3,600. */
const BUDGET = 360;

t.test('ten replicas and 200 apps stay within a tenth of the limit, also in the first hour', async (t) => {
  const { clock, started, statuses } = await openFleet(t, { replicas: 10 });
  await clock.advance(60_000);
  t.strictSame(
    started.map(({ signing }) => signing()),
    started.map(() => 200),
    'all replicas sign for all apps within a minute',
  );
  await clock.advance(HOUR_MS - 60_000);
  const first = await statuses();
  t.ok(first.all <= BUDGET, `${first.all} requests in the first hour`);
  const half = HOUR_MS / 2;
  await clock.advance(half);
  const later = 2 * ((await statuses()).all - first.all);
  t.ok(later <= BUDGET / 2, `${later} requests an hour afterwards`);
  t.comment(`${first.all} requests in the first hour, ${later} an hour afterwards`);
});

for (const [name, isShared, areRegistered] of [
  ['that share a store', true, false],
  ['with a store each', false, false],
  ['with a store each, the keys are registered', false, true],
] as const)
  t.test(`a cold start of six replicas ${name}: all sign, and nothing is refused`, async (t) => {
    const options = { replicas: 6, isShared, areRegistered, latencyMs: 300 };
    const { clock, started, statuses } = await openFleet(t, options);
    const startMs = clock.elapsed();
    const isOver = () => started.every(({ signing }) => signing() === 200);
    while (!isOver() && clock.elapsed() - startMs < 60_000) await clock.advance(100);
    t.ok(isOver(), 'all sign within a minute');
    const seconds = (clock.elapsed() - startMs) / 1000;
    await clock.advance(60_000);
    const { all, refused } = await statuses();
    t.equal(refused, 0);
    t.comment(`all sign after ${seconds} s; ${all} requests`);
  });
