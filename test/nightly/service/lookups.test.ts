/** A read replica of the ledger: lookups go there, evidence goes to the primary, and either may be down or lag. */

import pino from 'pino';
import t, { type Test } from 'tap';
import { trackLag } from '../../../src/ledger/lag.ts';
import { openLedger } from '../../../src/ledger/ledger.ts';
import { openMetrics } from '../../../src/metrics.ts';
import { openLookups } from '../../../src/service/lookups.ts';
import { post } from '../../harness/http.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { type Running, settingsIn, startService } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';
import { entryOf, installedAt, installOf, LIFETIME, NOW, subjectOf } from '../../ledger/contract.ts';

/** How long the primary is away under load. */
const AWAY_MS = Number(process.env['AWAY_SECONDS'] ?? 60) * 1000;

t.setTimeout(120_000 + AWAY_MS);

type Server = Awaited<ReturnType<typeof openPostgresServer>>;
type Replica = Awaited<ReturnType<Server['openReplica']>>;

const health = async ({ url }: Running) => {
  const response = await fetch(`${url}/health/ready`);
  const { ledger, ledgerRead } = (await response.json()) as Record<string, { state: string; detail?: string }>;
  return { status: response.status, ledger, ledgerRead };
};

const metricOf = async ({ url }: Running, name: string) => {
  const line = (await (await fetch(`${url}/metrics`)).text()).split('\n').find((text) => text.startsWith(`${name} `));
  return Number(line?.split(' ')[1]);
};

await t.test('a read replica', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const replica = await server.openReplica();
  t.teardown(() => replica.close());

  /** A service with a clock that the test moves. */
  const start = async (test: Test) => {
    let nowMs = Date.now();
    const url = await server.freshUrl();
    await untilOn(replica, url);
    const env = settingsIn(test.testdir(), {
      WEBDIST_LEDGER: url,
      WEBDIST_LEDGER_READ: replica.through(url),
      WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
      WEBDIST_LEDGER_DOWN: 'refuse',
    });
    const service = await startService(test, undefined, env, { now: () => nowMs });
    const ask = (cookie = '') => post(`${service.url}/install-token`, {}, { cookie });
    const tap = (nonce: unknown, cookie = '') => post(`${service.url}/installs`, { nonce }, { cookie });
    // Connections are opened, and the replica has the tables, before anything is measured.
    const { cookie } = await ask();
    await until(async () => (await ask(cookie)).status === 200, 'lookups work');
    await until(async () => (await health(service)).ledgerRead?.state === 'ok', 'the replica answers');
    return { service, url, ask, tap, pass: (ms: number) => (nowMs += ms) };
  };
  const countOn = async (where: Pick<Server, 'admin'>, url: string) =>
    Number((await where.admin('SELECT count(*) AS n FROM webdist_install', url))[0]?.['n']);

  await t.test('lookups go to the replica, evidence goes to the primary', async (test) => {
    const { service, url, ask, tap, pass } = await start(test);
    const { cookie, body } = await ask();
    test.equal((await tap(body['nonce'], cookie)).status, 204);
    test.equal(await countOn(server, url), 1);
    await until(async () => (await countOn(replica, url)) === 1, 'it is replicated');
    pass(LIFETIME * 1000);
    test.equal((await ask(cookie)).body['dtype'], 'redownload');
    const before = await metricOf(service, 'webdist_dependency_duration_seconds_count{dependency="ledger_read"}');
    for (let count = 0; count < 10; count++) await ask(cookie);
    const after = await metricOf(service, 'webdist_dependency_duration_seconds_count{dependency="ledger_read"}');
    test.ok(after - before >= 10, 'each lookup went to the replica');
    test.match(await health(service), {
      status: 200,
      ledger: { state: 'ok' },
      ledgerRead: { detail: /^It is \d+ s behind/ },
    });
  });

  await t.test('a replica that lags: no wrong dtype, and health and metric show the lag', async (test) => {
    const { service, url, ask, tap, pass } = await start(test);
    await replica.admin('SELECT pg_wal_replay_pause()');
    const { cookie, body } = await ask();
    test.equal((await tap(body['nonce'], cookie)).status, 204);
    pass((LIFETIME - 1) * 1000);
    test.equal((await ask(cookie)).body['dtype'], 'download', 'with or without the install');
    test.equal(await countOn(replica, url), 0, 'the replica does not have it yet');
    await until(async () => (await metricOf(service, 'webdist_ledger_read_lag_seconds')) > 1, 'the lag is measured');
    test.match((await health(service)).ledgerRead, { state: 'ok', detail: /^It is [1-9]\d* s behind/ });
    await replica.admin('SELECT pg_wal_replay_resume()');
    await until(async () => (await countOn(replica, url)) === 1, 'the replica catches up');
    pass(1000);
    test.equal((await ask(cookie)).body['dtype'], 'redownload');
    await until(async () => (await metricOf(service, 'webdist_ledger_read_lag_seconds')) === 0, 'the lag is over');
  });

  await t.test('a replica that is too far behind is not used', async (test) => {
    const url = await server.freshUrl();
    const ledger = await openLedger(url);
    await untilOn(replica, url);
    let nowMs = 0;
    const lag = trackLag(() => nowMs);
    const lookups = await openLookups(
      ledger,
      { read: { url: replica.through(url) }, whenDown: 'refuse', lifetimeSeconds: LIFETIME, answerMs: 200 },
      { metrics: openMetrics(), log: pino({ level: 'silent' }), lag },
    );
    test.teardown(async () => {
      await lookups.close();
      await ledger.close();
    });
    const subject = subjectOf('stale');
    await until(async () => (await installedAt(lookups, [entryOf(subject)])).length === 1, 'it answers');
    await replica.admin('SELECT pg_wal_replay_pause()');
    test.teardown(() => replica.admin('SELECT pg_wal_replay_resume()'));
    lag.stored(await ledger.beat());
    await ledger.addInstalls([installOf(subject)]);
    test.strictSame(await installedAt(lookups, [entryOf(subject)]), [undefined], 'the replica is read');
    nowMs = (LIFETIME / 2) * 1000;
    test.strictSame(await installedAt(lookups, [entryOf(subject)]), [undefined], 'half a lifetime behind: it still is');
    nowMs += 1000;
    test.strictSame(await installedAt(lookups, [entryOf(subject)]), [NOW], 'more than that: the ledger itself is');
    test.match(lookups.replica, { isStale: true, lagSeconds: LIFETIME / 2 + 1 });
  });

  await t.test('the replica is down: the primary is read, and the replica again once it is back', async (test) => {
    const { service, ask, tap, pass } = await start(test);
    const { cookie, body } = await ask();
    await tap(body['nonce'], cookie);
    pass(LIFETIME * 1000);
    replica.stop('immediate');
    for (let count = 0; count < 20; count++) {
      const { status, body } = await ask(cookie);
      test.strictSame([status, body['dtype']], [200, 'redownload']);
    }
    test.match(await health(service), { status: 200, ledger: { state: 'ok' }, ledgerRead: { state: 'degraded' } });
    replica.start();
    await until(async () => (await health(service)).ledgerRead?.state === 'ok', 'the replica is back');
  });

  await t.test('the primary is killed under load: tokens still have the right dtype', async (test) => {
    const { service, url, ask, tap, pass } = await start(test);
    const visitors = await Promise.all(Array.from({ length: 8 }, () => ask()));
    for (const { cookie, body } of visitors.slice(0, 4)) test.equal((await tap(body['nonce'], cookie)).status, 204);
    pass(LIFETIME * 1000);
    await until(async () => (await countOn(replica, url)) === 4, 'what was confirmed is replicated');
    await Promise.all(visitors.map(({ cookie }) => ask(cookie)));

    server.stop('immediate');
    const endsAt = performance.now() + AWAY_MS;
    const counts = { tokens: 0, refused: 0, wrong: 0 };
    const codes = new Set<string>();
    await Promise.all(
      visitors.map(async ({ cookie }, index) => {
        while (performance.now() < endsAt) {
          const [known, isNew] = [await ask(cookie), await ask()];
          counts.tokens += 2;
          const refusals = [known, isNew].filter(({ status }) => status !== 200);
          counts.refused += refusals.length;
          for (const { status, body } of refusals) codes.add(`${status} ${body['code']} ${body['detail']}`);
          const expected = index < 4 ? 'redownload' : 'download';
          counts.wrong += Number(known.body['dtype'] !== expected) + Number(isNew.body['dtype'] !== 'download');
        }
      }),
    );
    test.match(
      counts,
      { refused: 0, wrong: 0 },
      `${counts.tokens} tokens in ${AWAY_MS} ms; refusals: ${[...codes].join(', ')}`,
    );
    test.ok(counts.tokens > 50);
    const late = await ask();
    const refused = await tap(late.body['nonce'], late.cookie);
    test.strictSame([refused.status, refused.body['code']], [503, 'ledger_unavailable']);
    test.match(await health(service), { status: 200, ledger: { state: 'degraded' }, ledgerRead: { state: 'ok' } });

    server.start();
    await until(
      async () => (await tap(late.body['nonce'], late.cookie)).status === 204,
      'the same evidence is accepted',
    );
    test.equal(await countOn(server, url), 5);
    await until(async () => (await health(service)).ledger?.state === 'ok', 'health sees that it is over');
  });
});

/** Waits until a new database has reached the replica. */
async function untilOn(replica: Replica, url: string): Promise<void> {
  await until(() => replica.admin('SELECT 1', url).then(Boolean, () => false), 'the database is replicated');
}
