/** Replicas that share a store share their checks, whichever of them has a fault. In virtual time. */

import t from 'tap';
import type { AppStoreConnect } from '../../src/app-store-connect/client.ts';
import { WebdistError } from '../../src/errors.ts';
import { accountOf, openClient } from '../harness/app-store-connect.ts';
import { openFleet } from '../harness/fleet.ts';
import { requestsSeen } from '../harness/sandbox.ts';

const HOUR_MS = 60 * 60 * 1000;

t.test('four replicas and 24 apps: one check in each interval', async (t) => {
  const { clock, started, statuses } = await openFleet(t, { replicas: 4, count: 24 });
  await clock.advance(60_000);
  for (const { signing } of started) t.equal(signing(), 24);
  const { all } = await statuses();
  t.ok(all <= 24 + 5, `${all} requests for the first check`);
  await clock.advance(HOUR_MS / 2);
  const later = 2 * ((await statuses()).all - all);
  t.ok(later <= 180, `${later} requests an hour afterwards`);
});

t.test(
  'the limit is used up: one refused request a check, and the rest follows when there is room again',
  async (t) => {
    const { clock, started, statuses } = await openFleet(t, {
      replicas: 2,
      count: 20,
      areRegistered: false,
      requestsPerHour: 30,
    });
    await clock.advance(HOUR_MS);
    const { refused } = await statuses();
    t.ok(refused > 0 && refused <= 8 * 60, `${refused} refused requests`);
    await clock.advance(HOUR_MS);
    for (const { signing } of started) t.equal(signing(), 20);
  },
);

t.test('a replica that cannot reach App Store Connect does not disturb the others', async (t) => {
  const unreachable = new Proxy({} as AppStoreConnect, {
    get: (_, name) =>
      name === 'then' ? undefined : () => Promise.reject(new WebdistError('asc_outage', 'No answer.')),
  });
  const connect = (asc: AppStoreConnect, replica: number) => (replica === 0 ? unreachable : asc);
  const { clock, started, statuses } = await openFleet(t, { replicas: 3, count: 10, connect });
  const troubled = new Set<number>();
  await clock.advance(60_000);
  for (let minute = 0; minute < 30; minute++) {
    await clock.advance(60_000);
    started.forEach(({ domain, signing }, replica) => {
      if (domain.state.problem || signing() < 10) troubled.add(replica);
    });
  }
  t.notOk(troubled.has(1) || troubled.has(2), 'the others report nothing');
  t.equal(started[0]?.signing(), 10, 'and it signs, with what they found');
  t.ok((await statuses()).all <= 360);
});

t.test('a removed key stops all replicas at the next check', async (t) => {
  const { clock, sandbox, started } = await openFleet(t, { replicas: 4, count: 10 });
  await clock.advance(60_000);
  await openClient(t, accountOf(sandbox), { now: clock.now }).removeKey('key-7');
  await clock.advance(370_000);
  for (const { signing } of started) t.equal(signing(), 9);
  t.notOk(
    (await requestsSeen(sandbox, 'POST')).some((path) => path.includes('Keys')),
    'and none registers it again',
  );
});

t.test('one replica is told to check: the others know within seconds', async (t) => {
  const { clock, sandbox, started } = await openFleet(t, { replicas: 4, count: 10 });
  await clock.advance(60_000);
  await openClient(t, accountOf(sandbox), { now: clock.now }).removeKey('key-7');
  void started[2]?.watch.reconcile();
  await clock.advance(7_000);
  for (const { signing } of started) t.equal(signing(), 9);
});

t.test('all are told at once: they share a check or two', async (t) => {
  const { clock, started, statuses } = await openFleet(t, { replicas: 10, count: 10 });
  await clock.advance(60_000);
  const before = (await statuses()).all;
  for (const { watch } of started) void watch.reconcile();
  await clock.advance(3_000);
  const sent = (await statuses()).all - before;
  t.ok(sent > 0 && sent <= 2 * 13, `${sent} requests`);
});

t.test('while one replica makes a slow check, the others wait without asking the store again and again', async (t) => {
  const { clock, started, statuses } = await openFleet(t, {
    replicas: 3,
    count: 10,
    areRegistered: false,
    latencyMs: 300,
  });
  await clock.advance(4_000);
  for (const { signing } of started) t.equal(signing(), 10);
  t.ok((await statuses()).all <= 30);
});
