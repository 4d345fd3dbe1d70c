/**
 * Faults of an open ledger: evidence is refused and never acknowledged, health says so, and log and health show one
 * outage with one beginning and one end.
 */

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { openLedger } from '../../../src/ledger/ledger.ts';
import { checkTable } from '../../harness/doc-table.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { post } from '../../harness/http.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { settingsIn, startService } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

type Fault = {
  readonly name: string;
  /** Causes the fault in the ledger file. */
  readonly cause: (path: string) => End;
  /** What health says about it. */
  readonly detail: RegExp;
};

/** Ends a fault. It can let the test stop the service, run `meanwhile`, and start the service again. */
type End = (restart: (meanwhile: () => void) => Promise<void>) => unknown;

const moved = (from: string, to: string) => {
  renameSync(from, to);
  return () => renameSync(to, from);
};

/** Runs a statement as another program would, and another one to end the fault. */
const statements = (begin: string, end: string) => (path: string) => {
  const other = new DatabaseSync(path);
  other.exec(begin);
  return () => {
    other.exec(end);
    other.close();
  };
};

/** Ends a fault that destroyed the files, as "Restoring a backup" in docs/reliability.md says. */
const restored =
  (path: string): End =>
  (restart) =>
    restart(() => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
      copyFileSync(`${path}.backup`, path);
    });

function overwrite(path: string, from: number) {
  const bytes = readFileSync(path);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, from), Buffer.alloc(bytes.length - from, 0xa5)]));
}

const faults: readonly Fault[] = [
  { name: 'the file is removed', cause: (path) => moved(path, `${path}.elsewhere`), detail: /was removed/ },
  { name: 'the folder is removed', cause: (path) => moved(dirname(path), `${dirname(path)}-2`), detail: /was removed/ },
  { name: 'the log is removed', cause: (path) => moved(`${path}-wal`, `${path}-wal-2`), detail: /-wal was removed/ },
  {
    name: 'the file is replaced by a copy',
    cause(path) {
      const back = moved(path, `${path}.elsewhere`);
      copyFileSync(`${path}.elsewhere`, path);
      return back;
    },
    detail: /was replaced/,
  },
  {
    name: 'the file is emptied',
    cause(path) {
      truncateSync(path);
      return restored(path);
    },
    detail: /was emptied/,
  },
  {
    name: 'all pages are destroyed',
    cause(path) {
      overwrite(path, 0);
      return restored(path);
    },
    detail: /is damaged/,
  },
  {
    name: 'all pages but the first are destroyed',
    cause(path) {
      overwrite(path, 4096);
      return restored(path);
    },
    detail: /is damaged/,
  },
  {
    name: 'the shared memory is removed',
    cause: (path) => moved(`${path}-shm`, `${path}-shm-2`),
    detail: /-shm was removed/,
  },
  {
    name: 'an older copy is written over the file',
    cause(path) {
      writeFileSync(path, readFileSync(`${path}.backup`).subarray(0, 8192));
      return restored(path);
    },
    detail: /damaged|emptied/,
  },
  { name: 'another program holds the lock', cause: statements('BEGIN IMMEDIATE', 'COMMIT'), detail: /cannot answer/ },
  {
    name: 'another program renames the table',
    cause: statements('ALTER TABLE install RENAME TO other', 'ALTER TABLE other RENAME TO install'),
    detail: /cannot answer/,
  },
  {
    name: 'a trigger refuses some installs',
    cause: statements(
      `CREATE TRIGGER no BEFORE INSERT ON install WHEN NEW.subject >= 0 BEGIN SELECT RAISE(ABORT, 'no'); END`,
      'DROP TRIGGER no',
    ),
    detail: /cannot answer/,
  },
];

/** Settings of a service whose ledger has a few hundred pages, all of them written back to the file. */
async function settingsOnFile(folder: string) {
  mkdirSync(join(folder, 'ledger'));
  const path = join(folder, 'ledger', 'ledger.sqlite');
  const env = settingsIn(folder, { WEBDIST_LEDGER: `sqlite://${path}` });
  await (await openLedger(`sqlite://${path}`)).close();
  const filling = new DatabaseSync(path);
  filling.exec(`
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO install SELECT i * 1759218604, '6500000001', 1, 1 FROM n;
    PRAGMA wal_checkpoint (TRUNCATE)`);
  filling.close();
  copyFileSync(path, `${path}.backup`);
  return { path, env };
}

/** By fault: when health reported it, when it reported the end, and how often it changed in between. */
const measured = new Map<string, { reportedMs: number; overMs: number; flaps: number }>();

/** Runs a service through one fault of its ledger. */
async function oneOutage(test: Test, env: Environment, cause: () => End | Promise<End>, detail: RegExp) {
  let service = await startService(test, undefined, env);
  const device = await post(`${service.url}/install-token`, {});
  const tap = async () =>
    (await post(`${service.url}/installs`, { nonce: device.body['nonce'] }, { cookie: device.cookie ?? '' })).status;
  const ledger = () => service.service.health().ledger;
  const count = (event: string) => service.log.events(`ledger_evidence_${event}`).length;

  const end = await cause();
  const causedMs = performance.now();
  // Damage is noticed by the heartbeat. Until then the pages in memory are used, from which the file is repaired.
  if (!/damaged/.test(detail.source)) test.equal(await tap(), 503, 'evidence is refused at once');
  await until(() => detail.test(ledger().detail ?? ''), `health to report ${detail}`, 30);
  const reportedMs = performance.now() - causedMs;
  const seen = new Set<unknown>();
  // Longer than the interval between two checks.
  for (const endsAt = Date.now() + 1500; Date.now() < endsAt; await delay(100)) {
    seen.add(await tap());
    seen.add(ledger().state);
  }
  test.strictSame(seen, new Set([503, 'degraded']), 'nothing is acknowledged meanwhile, and health does not change');
  test.strictSame([count('down'), count('back')], [1, 0], 'one beginning');
  let restarts = 0;
  const flaps = count('down') - 1 + count('back');
  let endedMs = performance.now();
  await end(async (meanwhile) => {
    await service.stop();
    meanwhile();
    service = await startService(test, undefined, env);
    restarts += 1;
    endedMs = performance.now();
  });
  await until(() => ledger().state === 'ok', 'health to report the end');
  measured.set(test.name, { reportedMs, overMs: performance.now() - endedMs, flaps });
  await until(async () => (await tap()) === 204, 'the evidence to be accepted');
  test.strictSame([count('down'), count('back')], restarts ? [0, 0] : [1, 1], 'one end');
}

t.jobs = 6;
const onSqlite = faults.map(({ name, cause, detail }) =>
  t.test(name, { buffered: true }, async (test) => {
    const { path, env } = await settingsOnFile(temporaryFolder(test));
    await oneOutage(test, env, () => cause(path), detail);
    const stored = new DatabaseSync(path, { readOnly: true });
    test.equal(stored.prepare('SELECT count(*) AS n FROM install').get()?.['n'], 20_001, 'the evidence is stored');
    stored.close();
  }),
);

const statementsOfPostgres: [name: string, begin: string, end: string][] = [
  [
    'PostgreSQL becomes read-only',
    `ALTER DATABASE DB SET default_transaction_read_only = on; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'webdist'`,
    `SET default_transaction_read_only = off; ALTER DATABASE DB RESET default_transaction_read_only; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'webdist'`,
  ],
  [
    'PostgreSQL refuses some installs',
    'ALTER TABLE webdist_install ADD CONSTRAINT no CHECK (subject < 0) NOT VALID',
    'ALTER TABLE webdist_install DROP CONSTRAINT no',
  ],
  [
    "PostgreSQL's table is renamed",
    'ALTER TABLE webdist_install RENAME TO other',
    'ALTER TABLE other RENAME TO webdist_install',
  ],
  [
    "PostgreSQL's table is dropped, and restored from a dump",
    'CREATE TABLE dump (LIKE webdist_install INCLUDING ALL); INSERT INTO dump SELECT * FROM webdist_install; DROP TABLE webdist_install',
    'ALTER TABLE dump RENAME TO webdist_install',
  ],
  [
    "a column of PostgreSQL's table is renamed",
    'ALTER TABLE webdist_install RENAME COLUMN subject TO other',
    'ALTER TABLE webdist_install RENAME COLUMN other TO subject',
  ],
];

const onPostgres = t.test('PostgreSQL', { skip: noPostgres }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  for (const [name, begin, end] of statementsOfPostgres)
    await test.test(name, async (inner) => {
      const url = await server.freshUrl();
      const env = settingsIn(temporaryFolder(inner), {
        WEBDIST_LEDGER: url,
        WEBDIST_LEDGER_SECRET: 'a secret for this test, long enough',
      });
      const admin = new pg.Client({ connectionString: url });
      await admin.connect();
      inner.teardown(() => admin.end());
      const run = async (sql: string) => void (await admin.query(sql.replaceAll('DB', new URL(url).pathname.slice(1))));
      const cause = async () => {
        await run(begin);
        return () => run(end);
      };
      await oneOutage(inner, env, cause, /evidence is refused|PostgreSQL/);
    });
});

t.test('a start that finds no earlier ledger says so', async (test) => {
  const folder = temporaryFolder(test);
  const path = join(folder, 'ledger', 'ledger.sqlite');
  const env = settingsIn(folder, { WEBDIST_LEDGER: `sqlite://${path}` });
  const remove = () => ['', '-wal', '-shm'].forEach((suffix) => void rmSync(`${path}${suffix}`, { force: true }));
  const starts: [name: string, before: () => void, warnings: number][] = [
    ['the first start', () => undefined, 1],
    ['a restart', () => undefined, 0],
    ['the file was removed', remove, 1],
    ['the file was emptied', () => [remove(), writeFileSync(path, '')], 1],
    ['the folder was removed', () => rmSync(dirname(path), { recursive: true }), 1],
    ['another restart', () => undefined, 0],
  ];
  for (const [name, before, warnings] of starts) {
    before();
    const service = await startService(test, undefined, env);
    test.equal(service.log.events('ledger_new').length, warnings, name);
    await service.stop();
  }
});

await Promise.all([...onSqlite, onPostgres]);
await t.test('the table in docs/reliability.md', { skip: noPostgres }, async (test) => {
  const names = [...faults.map(({ name }) => name), ...statementsOfPostgres.map(([name]) => name)];
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const rows = names.map((name) => {
    const found = measured.get(name);
    return found ? [name, seconds(found.reportedMs), seconds(found.overMs), `${found.flaps}`] : [name, 'not measured'];
  });
  const head = ['fault of the ledger', 'reported after', 'end reported after', 'flaps'];
  checkTable(test, 'docs/reliability.md', 'ledger faults', head, rows);
});
