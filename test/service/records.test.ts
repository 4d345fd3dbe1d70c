/** Requests while the ledger is down: a response in time, as configured, with metric, log and health. */

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { type Answer, post } from '../harness/http.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { type Running, settingsIn, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

/** The time limit is 200 ms; a busy machine adds to it. */
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
  const { ledger } = (await response.json()) as { ledger: { state: string; detail?: string } };
  return { status: response.status, ...ledger };
};
const events = ({ log }: Running, name: string) => log.events(name).length;

/** A service on a SQLite file, and another process's connection to that file. */
async function startOnSqlite(test: Test, more: Environment = {}) {
  const folder = temporaryFolder(test);
  const path = join(folder, 'ledger.sqlite');
  const env = settingsIn(folder, { WEBDIST_LEDGER: `sqlite://${path}`, ...more });
  const service = await startService(test, undefined, env);
  const other = new DatabaseSync(path);
  test.teardown(() => other.close());
  return { service, other, path };
}

const tap = ({ url }: Running, nonce: unknown, cookie = '') => post(`${url}/installs`, { nonce }, { cookie });

t.test('SQLite locked by another process: tokens are issued, evidence is refused', async (test) => {
  const { service, other } = await startOnSqlite(test);
  const first = await askSoon(test, service);
  test.equal(first.body['dtype'], 'download');
  other.exec('BEGIN IMMEDIATE');
  for (let count = 0; count < 8; count++) {
    const { status, body } = await askSoon(test, service, first.cookie);
    test.strictSame([status, body['dtype']], [200, 'download'], 'a lookup needs no lock');
  }
  const refused = await tap(service, first.body['nonce'], first.cookie);
  test.strictSame([refused.status, refused.body['code']], [503, 'ledger_unavailable']);
  test.equal(refused.headers.get('retry-after'), '1');
  for (let count = 0; count < 6; count++) await tap(service, first.body['nonce'], first.cookie);
  test.equal(
    (await askSoon(test, service, first.cookie)).body['dtype'],
    'download',
    'evidence that fails stops no lookup',
  );
  test.equal(await failures(service), 7);
  test.equal(events(service, 'ledger_evidence_down'), 1, 'logged once');
  test.equal(events(service, 'ledger_down'), 0);
  test.match(await ledgerState(service), { status: 200, state: 'degraded', detail: /evidence is refused/ });
  other.exec('COMMIT');
  await until(
    async () => (await tap(service, first.body['nonce'], first.cookie)).status === 204,
    'the same evidence is accepted',
  );
  test.equal(other.prepare('SELECT count(*) AS n FROM install').get()?.['n'], 1, 'and was not lost');
  await until(async () => (await ledgerState(service)).state === 'ok', 'health sees it, too');
  test.equal(events(service, 'ledger_evidence_back'), 1);
});

t.test('SQLite that cannot answer: issue', async (test) => {
  const { service, other } = await startOnSqlite(test);
  const first = await askSoon(test, service);
  other.exec('ALTER TABLE install RENAME TO elsewhere');
  for (let count = 0; count < 8; count++) {
    const { status, body } = await askSoon(test, service, first.cookie);
    test.strictSame([status, body['dtype']], [200, 'redownload']);
  }
  const newcomer = await askSoon(test, service);
  test.equal(newcomer.body['dtype'], 'download', 'a device that is new needs no ledger');
  const refused = await tap(service, newcomer.body['nonce'], newcomer.cookie);
  test.strictSame([refused.status, refused.body['code']], [503, 'ledger_unavailable']);
  test.equal(await failures(service), 9);
  test.equal(events(service, 'ledger_down'), 1, 'logged once');
  test.match(await ledgerState(service), {
    status: 200,
    state: 'degraded',
    detail: 'The SQLite ledger cannot answer.',
  });
  other.exec('ALTER TABLE elsewhere RENAME TO install');
  await until(
    async () => (await askSoon(test, service, first.cookie)).body['dtype'] === 'download',
    'the ledger is used again',
  );
  await until(
    async () => (await tap(service, newcomer.body['nonce'], newcomer.cookie)).status === 204,
    'a token issued while the ledger was down can be confirmed',
  );
  test.equal(other.prepare('SELECT count(*) AS n FROM install').get()?.['n'], 1);
  await until(async () => (await ledgerState(service)).state === 'ok', 'health sees it, too');
  test.equal(events(service, 'ledger_back'), 1);
});

t.test('SQLite that cannot answer: refuse', async (test) => {
  const { service, other } = await startOnSqlite(test, { WEBDIST_LEDGER_DOWN: 'refuse' });
  const { cookie } = await askSoon(test, service);
  other.exec('ALTER TABLE install RENAME TO elsewhere');
  for (let count = 0; count < 8; count++) {
    const { status, body, headers } = await askSoon(test, service, cookie);
    test.strictSame([status, body['code'], headers.get('retry-after')], [503, 'ledger_unavailable', '1']);
  }
  test.equal(await failures(service), 8);
  test.equal((await askSoon(test, service)).status, 200, 'a device that is new needs no ledger');
});

t.test('WEBDIST_INSTALL_EVIDENCE=issue with a ledger that cannot store', async (test) => {
  for (const [down, status] of [
    ['issue', 200],
    ['refuse', 503],
  ] as const)
    await test.test(down, async (test) => {
      const { service, other } = await startOnSqlite(test, {
        WEBDIST_INSTALL_EVIDENCE: 'issue',
        WEBDIST_LEDGER_DOWN: down,
      });
      const before = await askSoon(test, service);
      other.exec('BEGIN IMMEDIATE');
      const meanwhile = await askSoon(test, service);
      test.equal(meanwhile.status, status);
      test.equal((await askSoon(test, service, before.cookie)).body['dtype'], 'download', 'a known one needs no write');
      other.exec('COMMIT');
      test.equal(other.prepare('SELECT count(*) AS n FROM install').get()?.['n'], 1);
    });
});

t.test('first-time token requests write nothing', async (test) => {
  const { service, path } = await startOnSqlite(test);
  const size = () => statSync(path).size + statSync(`${path}-wal`).size;
  const before = size();
  const { headers } = await askSoon(test, service);
  test.ok(headers);
  for (let round = 0; round < 20; round++)
    await Promise.all(Array.from({ length: 50 }, () => post(`${service.url}/install-token`, {})));
  // A thousand writes would take at least 8 MB; the heartbeats take 8 KB each.
  test.ok(size() - before < 200_000, `${size() - before} bytes for a thousand devices`);
});

t.test(
  'a hundred tokens in one request are one read; a hundred of evidence in one tick are one write',
  async (test) => {
    const key = 'key-of-a-server';
    const { service, other } = await startOnSqlite(test, {
      WEBDIST_API_KEYS: `one:${createHash('sha256').update(key).digest('hex')}`,
      WEBDIST_INSTALL_EVIDENCE: 'issue',
    });
    const questions = async (dependency: string) => {
      const text = await (await fetch(`${service.url}/metrics`)).text();
      const line = new RegExp(
        `^webdist_dependency_duration_seconds_count\\{dependency="${dependency}"\\} (\\d+)$`,
        'm',
      );
      return Number(line.exec(text)?.[1]);
    };
    const requests = Array.from({ length: 100 }, (_, index) => ({ subject: `device ${index}` }));
    const before = [await questions('ledger'), await questions('ledger_evidence')];
    const { body } = await post(`${service.url}/install-tokens`, { requests }, { authorization: `Bearer ${key}` });
    test.equal((body['results'] as { dtype: string }[]).filter(({ dtype }) => dtype === 'download').length, 100);
    const after = [await questions('ledger'), await questions('ledger_evidence')];
    // A check may be counted in between.
    test.ok(
      after.every((count, index) => count - (before[index] as number) <= 2),
      `${before} to ${after}`,
    );
    test.equal(other.prepare('SELECT count(*) AS n FROM install').get()?.['n'], 100);
  },
);

t.test('PostgreSQL that is paused, and one that is down', { skip: noPostgres }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  const env = settingsIn(temporaryFolder(test), {
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
  test.match(await ledgerState(service), { status: 200, state: 'degraded' });

  const late = await startService(test, undefined, env);
  test.match(await ledgerState(late), { status: 200, state: 'degraded' }, 'a service starts without it');
  server.start();
  await until(async () => (await askSoon(test, service, cookie)).body['dtype'] === 'download', 'it is back');
  await until(async () => (await askSoon(test, late, cookie)).body['dtype'] === 'download', 'it is there');
  test.ok(Number(await failures(service)) >= 16);
});
