/** The ledger as requests meet it when it is down: an answer in time, as configured, with metric, log and health. */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { type Answer, post } from '../harness/http.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { type Running, settingsIn, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

/** The promise is 250 ms; on a machine that does ten other things at once we only see that nobody waits for long. */
const SOON_MS = 1000;

async function askSoon(test: Pick<Test, 'ok'>, { url }: Running, cookie?: string): Promise<Answer> {
  const before = performance.now();
  const answer = await post(`${url}/install-token`, {}, cookie ? { cookie } : {});
  test.ok(performance.now() - before < SOON_MS, 'answers soon');
  return answer;
}

const failures = async ({ url }: Running) => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^webdist_ledger_failures_total (\d+)$/m.exec(text)?.[1]);
};
const ledgerState = async ({ url }: Running) => {
  const response = await fetch(`${url}/health/ready`);
  const { ledger } = (await response.json()) as { ledger: { state: string } };
  return { status: response.status, state: ledger.state };
};
const events = ({ log }: Running, name: string) => log.events(name).length;

t.test('SQLite locked by another process: issue', async (test) => {
  const folder = test.testdir();
  const env = settingsIn(folder, { WEBDIST_LEDGER: `sqlite://${join(folder, 'ledger.sqlite')}` });
  const service = await startService(test, undefined, env);
  const other = new DatabaseSync(join(folder, 'ledger.sqlite'));
  test.teardown(() => other.close());
  const first = await askSoon(test, service);
  test.equal(first.body['dtype'], 'download');
  other.exec('BEGIN IMMEDIATE');
  for (let count = 0; count < 8; count++) {
    const { status, body } = await askSoon(test, service, first.cookie);
    test.strictSame([status, body['dtype']], [200, 'redownload']);
  }
  const tap = await post(`${service.url}/installs`, { nonce: first.body['nonce'] }, { cookie: first.cookie ?? '' });
  test.strictSame(
    [tap.status, tap.body['code']],
    [503, 'ledger_unavailable'],
    'evidence is refused, so that it is sent again',
  );
  test.equal(tap.headers.get('retry-after'), '1');
  test.equal(await failures(service), 9);
  test.equal(events(service, 'ledger_down'), 1, 'logged once');
  test.strictSame(await ledgerState(service), { status: 200, state: 'degraded' });
  other.exec('COMMIT');
  await until(
    async () => (await askSoon(test, service, first.cookie)).body['dtype'] === 'download',
    'the ledger is asked again',
  );
  test.equal(events(service, 'ledger_back'), 1);
  test.strictSame(await ledgerState(service), { status: 200, state: 'ok' });
});

t.test('SQLite locked by another process: refuse', async (test) => {
  const folder = test.testdir();
  const path = join(folder, 'ledger.sqlite');
  const service = await startService(
    test,
    undefined,
    settingsIn(folder, { WEBDIST_LEDGER: `sqlite://${path}`, WEBDIST_LEDGER_DOWN: 'refuse' }),
  );
  const other = new DatabaseSync(path);
  test.teardown(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  for (let count = 0; count < 8; count++) {
    const { status, body, headers } = await askSoon(test, service);
    test.strictSame([status, body['code'], headers.get('retry-after')], [503, 'ledger_unavailable', '1']);
  }
  test.equal(await failures(service), 8);
});

t.test('PostgreSQL that is stopped, and one that is away', { skip: noPostgres }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  const env = settingsIn(test.testdir(), {
    WEBDIST_LEDGER: await server.freshUrl(),
    WEBDIST_LEDGER_SECRET: 'a secret for this test, long enough',
  });
  const service = await startService(test, undefined, env);
  const { cookie, body } = await askSoon(test, service);
  test.equal(body['dtype'], 'download');

  const backends = await server.admin(`SELECT pid FROM pg_stat_activity WHERE application_name = 'webdist'`);
  const pids = [server.pid(), ...backends.map((row) => Number(row['pid']))];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  for (let count = 0; count < 8; count++)
    test.equal((await askSoon(test, service, cookie)).body['dtype'], 'redownload', 'while it hangs');
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  await until(async () => (await askSoon(test, service, cookie)).body['dtype'] === 'download', 'it is back');

  server.stop('fast');
  for (let count = 0; count < 8; count++)
    test.equal((await askSoon(test, service, cookie)).body['dtype'], 'redownload', 'while it is away');
  test.strictSame(await ledgerState(service), { status: 200, state: 'degraded' });

  const late = await startService(test, undefined, env);
  test.strictSame(await ledgerState(late), { status: 200, state: 'degraded' }, 'a service starts without it');
  server.start();
  await until(async () => (await askSoon(test, service, cookie)).body['dtype'] === 'download', 'it is back');
  await until(async () => (await askSoon(test, late, cookie)).body['dtype'] === 'download', 'it is there');
  test.ok(Number(await failures(service)) >= 16);
});
