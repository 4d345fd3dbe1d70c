/**
 * Behaviour that only PostgreSQL has: concurrent starts, starting without it, restarts, a server that hangs, PgBouncer.
 */

import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import type { Ledger } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import {
  noPgBouncer,
  noPostgres,
  openPgBouncer,
  openPostgresServer,
  type PostgresServer,
} from '../harness/postgres.ts';
import { until } from '../harness/until.ts';
import { dtypeOf, entryOf, installedAt, installOf, LIFETIME, NOW, subjectOf } from './contract.ts';

t.setTimeout(90_000);

await t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());

  await t.test('ten replicas start at once on an empty database', async (test) => {
    const url = await server.freshUrl();
    const ledgers = await Promise.all(Array.from({ length: 10 }, () => openLedger(url)));
    await Promise.all(ledgers.map((ledger, index) => ledger.addInstalls([installOf(subjectOf(`replica ${index}`))])));
    test.strictSame(await ledgers[0]?.stats(), { installs: 10 });
    await Promise.all(ledgers.map((ledger) => ledger.close()));
  });

  await t.test('a newer schema is refused and not changed', async (test) => {
    const url = await server.freshUrl();
    await (await openLedger(url)).close();
    const database = url.split('/').at(-1);
    await server.admin('INSERT INTO webdist_schema VALUES (99)', database);
    await test.rejects(openLedger(url), { code: 'state_invalid', message: /newer webdist/ });
  });

  await t.test('a role that may not create tables uses existing ones', async (test) => {
    const url = await server.freshUrl();
    const database = url.split('/').at(-1);
    await (await openLedger(url)).close();
    await server.admin(
      `CREATE ROLE app LOGIN; GRANT SELECT, INSERT, DELETE, UPDATE ON ALL TABLES IN SCHEMA public TO app;
       REVOKE CREATE ON SCHEMA public FROM PUBLIC`,
      database,
    );
    const ledger = await openLedger(url.replace('webdist@', 'app@'));
    test.teardown(() => ledger.close());
    test.equal(await dtypeOf(ledger, entryOf(subjectOf('app')), NOW), 'download');
    await ledger.addInstalls([installOf(subjectOf('app'))]);
    await ledger.beat();
    await ledger.prune(NOW + LIFETIME);
    test.strictSame(await ledger.stats(), { installs: 0 });
  });

  await t.test('a refused login is reported at once, without the password', async (test) => {
    const url = (await server.freshUrl()).replace(/webdist@/, 'nobody:s3cr3t@');
    await test.rejects(openLedger(url), { code: 'config_invalid', message: /^(?!.*s3cr3t).*28000/ });
  });

  await t.test('a server that hangs: every answer in time, and at most ten connections', async (test) => {
    const url = await server.freshUrl();
    const ledger = await openLedger(url);
    test.teardown(() => ledger.close());
    const ask = (index: number) =>
      index % 2 === 0
        ? installedAt(ledger, [entryOf(subjectOf(`${index}`))])
        : ledger.addInstalls([installOf(subjectOf(`${index}`))]);
    await Promise.all(Array.from({ length: 30 }, (_, index) => ask(index)));
    const database = url.split('/').at(-1) ?? '';
    await withTableLocked(server, database, async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 60 }, (_, index) => ask(index)));
      for (const outcome of outcomes)
        if (outcome.status !== 'rejected' || outcome.reason.code !== 'ledger_unavailable') test.fail('it answered');
      const connections = await backends(server, database);
      test.ok(connections <= 11, `${connections} connections at the server`);
    });
    await until(() => answers(ledger), 'the ledger answers again');
    test.equal(await dtypeOf(ledger, entryOf(subjectOf('2')), NOW + LIFETIME), 'download');
    test.equal(await dtypeOf(ledger, entryOf(subjectOf('1')), NOW + LIFETIME), 'redownload');
  });

  await t.test(
    'a restart under load: only the documented answers, nothing lost, no connection left behind',
    async (test) => {
      const url = await server.freshUrl();
      const database = url.split('/').at(-1) ?? '';
      const ledger = await openLedger(url);
      const acknowledged: number[] = [];
      const codes = new Map<string, number>();
      let over = false;
      const load = async (worker: number) => {
        for (let count = 0; !over; count++) {
          const install = installOf(subjectOf(`${worker} ${count}`));
          try {
            await ledger.addInstalls([install]);
            acknowledged.push(install.subject);
          } catch (error) {
            const { code } = error as { code: string };
            codes.set(code, (codes.get(code) ?? 0) + 1);
            await setTimeout(5);
          }
        }
      };
      const workers = Array.from({ length: 20 }, (_, worker) => load(worker));
      for (const how of ['immediate', 'fast', 'immediate'] as const) {
        await progress(acknowledged);
        server.stop(how);
        server.start();
      }
      await until(() => answers(ledger), 'installs are acknowledged again');
      await progress(acknowledged);
      over = true;
      await Promise.all(workers);
      test.strictSame([...codes.keys()], ['ledger_unavailable'], `after ${[...codes.values()]} failures`);
      const kept = await server.admin('SELECT subject FROM webdist_install', database);
      const subjects = new Set(kept.map((row) => Number(row['subject'])));
      test.strictSame(
        acknowledged.filter((subject) => !subjects.has(subject)),
        [],
        `${acknowledged.length} are all there`,
      );
      test.ok((await backends(server, database)) <= 10);
      await ledger.close();
      await until(async () => (await backends(server, database)) === 0, 'every connection is gone');
    },
  );

  await t.test('a server that is down at start: the ledger opens, and works once the server is up', async (test) => {
    const url = await server.freshUrl();
    server.stop('fast');
    const ledger = await openLedger(url);
    test.teardown(() => ledger.close());
    const install = installOf(subjectOf('early'));
    await test.rejects(installedAt(ledger, [install]), { code: 'ledger_unavailable' });
    await test.rejects(ledger.addInstalls([install]), { code: 'ledger_unavailable' });
    server.start();
    await until(() => answers(ledger), 'the ledger answers');
    await ledger.addInstalls([install]);
    test.equal(await dtypeOf(ledger, install, NOW + LIFETIME), 'redownload');
  });

  for (const ignores of [false, true])
    await t.test(
      `behind PgBouncer${ignores ? ' that cannot be told apart' : ''}: ten replicas share four connections to the server`,
      { skip: noPgBouncer },
      async (test) => {
        const pgBouncer = await openPgBouncer(server.url, { ignores });
        test.teardown(() => pgBouncer.close());
        const url = pgBouncer.through(await server.freshUrl());
        const ledgers = await Promise.all(Array.from({ length: 10 }, () => openLedger(url)));
        test.teardown(() => Promise.all(ledgers.map((ledger) => ledger.close())));
        for (let round = 0; round < 20; round++) {
          const installs = ledgers.map((_, index) => installOf(subjectOf(`${round}-${index % 5}`)));
          await Promise.all(installs.map((install, index) => ledgers[index]?.addInstalls([install])));
          const seen = await Promise.all(
            installs.map((install, index) => installedAt(ledgers[9 - index] as Ledger, [install])),
          );
          test.strictSame(seen.flat(), Array(10).fill(NOW), `round ${round}`);
        }
        test.strictSame(await ledgers[0]?.stats(), { installs: 100 });
      },
    );
});

function answers(ledger: Ledger): Promise<boolean> {
  return ledger.ping().then(
    () => true,
    () => false,
  );
}

/** Waits for 200 more installs. */
async function progress(acknowledged: readonly number[]): Promise<void> {
  const before = acknowledged.length;
  await until(() => acknowledged.length > before + 200, 'installs are acknowledged');
}

/** The number of connections that webdist has to a database. */
async function backends(server: PostgresServer, database: string): Promise<number> {
  const [row] = await server.admin(
    `SELECT count(*) AS n FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'webdist'`,
  );
  return Number(row?.['n']);
}

/** Does some work while another session holds a lock that blocks every request. */
async function withTableLocked(server: PostgresServer, database: string, work: () => Promise<void>): Promise<void> {
  let done = false;
  const locked = server.admin(`BEGIN; LOCK TABLE webdist_install; SELECT pg_sleep(30); COMMIT`, database).catch(() => {
    if (!done) throw new Error('The lock was lost.');
  });
  const holder = `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND wait_event = 'PgSleep'`;
  await until(async () => (await server.admin(holder)).length === 1, 'the lock is held');
  await work();
  done = true;
  await server.admin(`SELECT pg_terminate_backend(pid) FROM (${holder}) AS holder`);
  await locked;
}
