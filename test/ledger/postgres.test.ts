/** What is PostgreSQL's own: starting together, starting without it, restarts, a server that hangs, PgBouncer. */

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
import { dtypeOf, entryOf, LIFETIME, NOW, options, subjectOf } from './contract.ts';

t.setTimeout(90_000);

await t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());

  await t.test('ten replicas start at once on an empty database', async (test) => {
    const url = await server.freshUrl();
    const ledgers = await Promise.all(Array.from({ length: 10 }, () => openLedger(url, options)));
    await Promise.all(ledgers.map((ledger, index) => ledger.record([entryOf(subjectOf(`replica ${index}`))])));
    test.strictSame(await ledgers[0]?.stats(), { installs: 0, tokens: 10 });
    await Promise.all(ledgers.map((ledger) => ledger.close()));
  });

  await t.test('a newer schema is refused and left as it is', async (test) => {
    const url = await server.freshUrl();
    await (await openLedger(url, options)).close();
    const database = url.split('/').at(-1);
    await server.admin('INSERT INTO webdist_schema VALUES (99)', database);
    await test.rejects(openLedger(url, options), { code: 'state_invalid', message: /newer webdist/ });
  });

  await t.test('a role that may not create tables uses those that are there', async (test) => {
    const url = await server.freshUrl();
    const database = url.split('/').at(-1);
    await (await openLedger(url, options)).close();
    await server.admin(
      `CREATE ROLE app LOGIN; GRANT SELECT, INSERT, DELETE, UPDATE ON ALL TABLES IN SCHEMA public TO app;
       REVOKE CREATE ON SCHEMA public FROM PUBLIC`,
      database,
    );
    const ledger = await openLedger(url.replace('webdist@', 'app@'), options);
    test.teardown(() => ledger.close());
    test.equal(await dtypeOf(ledger, entryOf(subjectOf('app'))), 'download');
    await ledger.prune(NOW + LIFETIME);
  });

  await t.test('a refusal of the server is told at once, without the password', async (test) => {
    const url = (await server.freshUrl()).replace(/webdist@/, 'nobody:s3cr3t@');
    await test.rejects(openLedger(url, options), { code: 'config_invalid', message: /^(?!.*s3cr3t).*28000/ });
  });

  await t.test('a server that hangs: every answer in time, and no more connections than ten', async (test) => {
    const url = await server.freshUrl();
    const ledger = await openLedger(url, options);
    test.teardown(() => ledger.close());
    const ask = (index: number) => ledger.record([entryOf(subjectOf(`${index}`))]);
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
    test.equal(await dtypeOf(ledger, entryOf(subjectOf('1'))), 'download');
  });

  await t.test(
    'a restart under load: only the documented answers, nothing lost, no connection left behind',
    async (test) => {
      const url = await server.freshUrl();
      const database = url.split('/').at(-1) ?? '';
      const ledger = await openLedger(url, options);
      const acknowledged: string[] = [];
      const codes = new Map<string, number>();
      let over = false;
      const load = async (worker: number) => {
        for (let count = 0; !over; count++) {
          const entry = entryOf(subjectOf(`${worker} ${count}`));
          try {
            await ledger.record([entry]);
            acknowledged.push(entry.nonce);
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
      await until(() => answers(ledger), 'records are acknowledged again');
      await progress(acknowledged);
      over = true;
      await Promise.all(workers);
      test.strictSame([...codes.keys()], ['ledger_unavailable'], `after ${[...codes.values()]} failures`);
      const kept = await server.admin('SELECT upper(nonce::text) AS nonce FROM webdist_install_token', database);
      const nonces = new Set(kept.map((row) => row['nonce']));
      test.strictSame(
        acknowledged.filter((nonce) => !nonces.has(nonce)),
        [],
        `${acknowledged.length} are all there`,
      );
      test.ok((await backends(server, database)) <= 10);
      await ledger.close();
      await until(async () => (await backends(server, database)) === 0, 'every connection is gone');
    },
  );

  await t.test('a server that is down at start: the ledger opens, and works once it is there', async (test) => {
    const url = await server.freshUrl();
    server.stop('fast');
    const ledger = await openLedger(url, options);
    test.teardown(() => ledger.close());
    await test.rejects(ledger.record([entryOf(subjectOf('early'))]), { code: 'ledger_unavailable' });
    server.start();
    await until(() => answers(ledger), 'the ledger answers');
    const entry = entryOf(subjectOf('early'));
    await ledger.record([entry]);
    await ledger.confirm([{ nonce: entry.nonce }], NOW);
    test.equal(await dtypeOf(ledger, entryOf(entry.subject, NOW + LIFETIME)), 'redownload');
  });

  for (const ignores of [false, true])
    await t.test(
      `behind PgBouncer${ignores ? ' that does not show' : ''}: ten replicas share four connections to the server`,
      { skip: noPgBouncer },
      async (test) => {
        const pgBouncer = await openPgBouncer(server.url, { ignores });
        test.teardown(() => pgBouncer.close());
        const url = pgBouncer.through(await server.freshUrl());
        const ledgers = await Promise.all(Array.from({ length: 10 }, () => openLedger(url, options)));
        test.teardown(() => Promise.all(ledgers.map((ledger) => ledger.close())));
        for (let round = 0; round < 20; round++) {
          const entries = ledgers.map((_, index) => entryOf(subjectOf(`${round}-${index % 5}`)));
          await Promise.all(entries.map((entry, index) => ledgers[index]?.record([entry])));
          await Promise.all(entries.map(({ nonce }, index) => ledgers[9 - index]?.confirm([{ nonce }], NOW)));
        }
        test.strictSame(await ledgers[0]?.stats(), { installs: 100, tokens: 200 });
      },
    );
});

function answers(ledger: Ledger): Promise<boolean> {
  return ledger.ping().then(
    () => true,
    () => false,
  );
}

/** A good number of records more. */
async function progress(acknowledged: readonly string[]): Promise<void> {
  const before = acknowledged.length;
  await until(() => acknowledged.length > before + 200, 'records are acknowledged');
}

/** Connections of the pool at the server, not counting the one that asks. */
async function backends(server: PostgresServer, database: string): Promise<number> {
  const [row] = await server.admin(
    `SELECT count(*) AS n FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'webdist'`,
  );
  return Number(row?.['n']);
}

/** Does some work while somebody else holds a lock that no request can get past. */
async function withTableLocked(server: PostgresServer, database: string, work: () => Promise<void>): Promise<void> {
  let done = false;
  const locked = server
    .admin(`BEGIN; LOCK TABLE webdist_install_token; SELECT pg_sleep(30); COMMIT`, database)
    .catch(() => {
      if (!done) throw new Error('The lock was lost.');
    });
  const holder = `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND wait_event = 'PgSleep'`;
  await until(async () => (await server.admin(holder)).length === 1, 'the lock is held');
  await work();
  done = true;
  await server.admin(`SELECT pg_terminate_backend(pid) FROM (${holder}) AS holder`);
  await locked;
}
