/**
 * What is wrong with a PostgreSQL, in the words of the service, of the doctor and of the command line, which are the same.
 * Every row is a real server; docs/databases.md has the table.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runDoctor } from '../../../src/doctor/doctor.ts';
import type { Environment } from '../../../src/environment.ts';
import { noOpenssl, writeCertificate } from '../../harness/certificates.ts';
import { checkTable } from '../../harness/doc-table.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { openMovingAddress } from '../../harness/moving-address.ts';
import { noPgBouncer, noPostgres, openPgBouncer, openPostgresServer } from '../../harness/postgres.ts';
import { webdist } from '../../harness/process.ts';
import { settingsIn, startService } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const SECRET = 'only-for-this-test-only-for-this-test';

const settings = (t: Test, url: string, more: Environment = {}) =>
  settingsIn(temporaryFolder(t), { WEBDIST_LEDGER: url, WEBDIST_LEDGER_SECRET: SECRET, ...more });

const rows: string[][] = [];

t.test('what is wrong with a PostgreSQL', { skip: noPostgres || noOpenssl, timeout: 180_000 }, async (t) => {
  const folder = temporaryFolder(t as Test);
  const tls = writeCertificate(folder);
  const server = await openPostgresServer({
    tls,
    config: ['max_connections = 12', 'superuser_reserved_connections = 3'],
    hba: [
      'local all webdist trust',
      'host all webdist 127.0.0.1/32 trust',
      'host all known 127.0.0.1/32 scram-sha-256',
      'hostssl all tls 127.0.0.1/32 trust',
      'hostssl all certificate 127.0.0.1/32 cert',
      'host all few 127.0.0.1/32 trust',
      'host all bare 127.0.0.1/32 trust',
    ],
  });
  t.teardown(() => server.close());
  await server.admin(
    `CREATE ROLE known LOGIN PASSWORD 'right'; CREATE ROLE tls LOGIN SUPERUSER; CREATE ROLE certificate LOGIN;
     CREATE ROLE few LOGIN CONNECTION LIMIT 0; CREATE ROLE bare LOGIN`,
  );
  const plainServer = await openPostgresServer();
  t.teardown(() => plainServer.close());
  const url = await server.freshUrl();
  const readOnly = await server.freshUrl();
  await server.admin('CREATE ROLE reader LOGIN');
  await server.admin(`ALTER DATABASE ${readOnly.split('/').at(-1)} SET default_transaction_read_only = on`);
  const as = (login: string, query = '', host = '127.0.0.1') =>
    `${url.replace('webdist@', `${login}@`).replace('127.0.0.1', host)}${query}`;
  const { port } = new URL(url);

  type Outcome = 'works' | 'refuses to start' | 'starts without';
  const cases: readonly (readonly [what: string, url: string, message: string, outcome: Outcome])[] = [
    [
      'nothing listens',
      'postgres://webdist@127.0.0.1:1/x',
      'PostgreSQL cannot be reached: nothing listens at its address (ECONNREFUSED).',
      'starts without',
    ],
    [
      'a name that is not in DNS',
      'postgres://webdist@db.invalid/x',
      'PostgreSQL cannot be reached: DNS does not know its name (ENOTFOUND).',
      'starts without',
    ],
    ['a wrong password', as('known:wrong'), 'PostgreSQL rejects the user or the password (28P01).', 'refuses to start'],
    [
      'a password is required, none is set',
      as('known'),
      'PostgreSQL requires a password, and none is set.',
      'refuses to start',
    ],
    [
      'a user whom pg_hba.conf does not name',
      as('stranger'),
      'PostgreSQL does not let this user log in from this address (pg_hba.conf) (28000).',
      'refuses to start',
    ],
    [
      'a missing database',
      `postgres://webdist@127.0.0.1:${port}/missing`,
      'PostgreSQL has no database of the name in the URL (3D000).',
      'refuses to start',
    ],
    [
      'missing privileges',
      as('bare'),
      'PostgreSQL does not grant this user the privileges that webdist needs (42501).',
      'refuses to start',
    ],
    [
      'too many connections',
      as('few'),
      'PostgreSQL has no connection left (too many connections) (53300).',
      'starts without',
    ],
    [
      'read-only',
      readOnly,
      'PostgreSQL is read-only: a replica, or a server that refuses to write (25006).',
      'starts without',
    ],
    [
      'TLS required, `sslmode=disable`',
      as('tls', '?sslmode=disable'),
      'PostgreSQL does not accept this login without TLS (28000).',
      'refuses to start',
    ],
    ['TLS required, no `sslmode`', as('tls'), 'ok', 'works'],
    ['TLS required, `sslmode=require`', as('tls', '?sslmode=require'), 'ok', 'works'],
    [
      '`sslmode=verify-full`, unknown CA',
      as('tls', '?sslmode=verify-full', 'localhost'),
      'PostgreSQL has a certificate from an authority that this process does not know.',
      'refuses to start',
    ],
    [
      '`sslmode=verify-ca`, unknown CA',
      as('tls', '?sslmode=verify-ca', 'localhost'),
      'PostgreSQL has a certificate from an authority that this process does not know.',
      'refuses to start',
    ],
    [
      '`sslmode=verify-full`, `sslrootcert`',
      as('tls', `?sslmode=verify-full&sslrootcert=${tls.certificate}`, 'localhost'),
      'ok',
      'works',
    ],
    [
      '`sslmode=verify-full`, another name',
      as('tls', `?sslmode=verify-full&sslrootcert=${tls.certificate}`),
      'PostgreSQL has a certificate for a different name than the one in the URL.',
      'refuses to start',
    ],
    [
      '`sslmode=verify-ca`, another name',
      as('tls', `?sslmode=verify-ca&sslrootcert=${tls.certificate}`),
      'ok',
      'works',
    ],
    [
      'a client certificate is required',
      as('certificate', '?sslmode=require'),
      'PostgreSQL requires a client certificate (28000).',
      'refuses to start',
    ],
    [
      'no TLS at the server, `sslmode=require`',
      `${await plainServer.freshUrl()}?sslmode=require`,
      'PostgreSQL does not use TLS.',
      'refuses to start',
    ],
    ['no TLS at the server, `sslmode=prefer`', `${await plainServer.freshUrl()}?sslmode=prefer`, 'ok', 'works'],
  ];
  for (const [what, url, message, outcome] of cases)
    await t
      .test(what, async (t) => {
        const env = settings(t as Test, url);
        const finding = (await runDoctor({ env })).find(({ id }) => id === 'ledger');
        const stats = await webdist(['ledger', 'stats'], env);
        const starting = startService(t as Test, undefined, env);
        if (outcome === 'works') {
          t.match(finding, { result: 'ok' });
          t.equal(stats.code, 0, stats.stderr);
          t.equal((await starting).service.health().ledger.state, 'ok');
          return;
        }
        t.match(finding, { result: 'fail', found: message, hint: /./ });
        if (what !== 'read-only') t.ok(stats.stderr.includes(message), stats.stderr);
        t.notMatch(stats.stderr, /wrong|SECURITY|\n./);
        if (outcome === 'refuses to start')
          return void (await t.rejects(starting, { code: 'config_invalid', detail: message }));
        const { service, log } = await starting;
        t.ok(service.health().ledger.detail?.includes(message), service.health().ledger.detail ?? 'no detail');
        t.equal(service.health().ready, true);
        t.ok(log.events('ledger_evidence_down').length === 1, 'reported once');
        await service.close();
      })
      .then(() => rows.push([what, message, outcome]));

  await t.test('the password is changed while it runs', async (t) => {
    const file = join(folder, 'password');
    writeFileSync(file, 'right\n');
    const url = (await server.freshUrl()).replace('webdist@', 'known@');
    await server.admin(`ALTER DATABASE ${url.split('/').at(-1)} OWNER TO known`);
    const { service } = await startService(t as Test, undefined, settings(t as Test, url, { PGPASSWORD_FILE: file }));
    const urlFile = join(folder, 'url');
    writeFileSync(urlFile, url.replace('known@', 'known:right@'));
    const withUrl = settings(t as Test, '', { WEBDIST_LEDGER_FILE: urlFile });
    const other = await startService(t as Test, undefined, withUrl);
    t.equal(service.health().ledger.state, 'ok');
    t.equal(other.service.health().ledger.state, 'ok');
    await server.admin(`ALTER ROLE known PASSWORD 'rotated'`);
    await server.admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'known'`);
    for (const running of [service, other.service])
      await until(
        () => running.health().ledger.detail?.includes('PostgreSQL rejects the user or the password (28P01).'),
        'the reason',
      );
    const startedAt = Date.now();
    writeFileSync(file, 'rotated\n');
    writeFileSync(urlFile, url.replace('known@', 'known:rotated@'));
    for (const running of [service, other.service])
      await until(() => running.health().ledger.state === 'ok', 'the new password to be used');
    rows.push([
      'a rotated password, in `PGPASSWORD_FILE` or `WEBDIST_LEDGER_FILE`',
      'PostgreSQL rejects the user or the password (28P01).',
      `works ${((Date.now() - startedAt) / 1000).toFixed(1)} s after the file is written`,
    ]);
  });
});

t.test('a failover', { skip: noPostgres, timeout: 120_000 }, async (t) => {
  const primary = await openPostgresServer();
  t.teardown(() => primary.close());
  const standby = await primary.openReplica();
  t.teardown(() => standby.close());
  const url = await primary.freshUrl();
  const database = url.split('/').at(-1);
  const [one, two] = [new URL(url).port, new URL(standby.url).port];
  const hosts = `postgres://webdist@127.0.0.1:${two},127.0.0.1:${one}/${database}?target_session_attrs=read-write`;
  const { service } = await startService(t as Test, undefined, settings(t as Test, hosts));
  t.equal(service.health().ledger.state, 'ok', 'the standby comes first in the URL, the primary is used');
  const address = await openMovingAddress(t as Test, Number(one));
  const moved = await startService(
    t as Test,
    undefined,
    settings(t as Test, `postgres://webdist@127.0.0.1:${address.port}/${database}`),
  );
  t.equal(moved.service.health().ledger.state, 'ok');

  // A demotion that keeps connections open: the old primary becomes read-only, and the address moves.
  await primary.admin('ALTER SYSTEM SET default_transaction_read_only = on');
  await primary.admin('SELECT pg_reload_conf()');
  await standby.admin('SELECT pg_promote()').catch(() => undefined);
  await until(
    async () => (await standby.admin('SELECT pg_is_in_recovery() AS r'))[0]?.['r'] === false,
    'the promotion',
  );
  address.moveTo(Number(two));
  await primary.admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
  const write = (running: typeof service) =>
    running
      .confirm('confirm', { appleItemId: '6500000001', subject: { kind: 'caller', id: 'someone' } })
      .then(() => true)
      .catch(() => false);
  const startedAt = Date.now();
  for (const [what, running] of [
    ['a failover, both hosts in the URL, `target_session_attrs=read-write`', service],
    ['a failover, one address that moves', moved.service],
  ] as const) {
    await until(() => write(running), what);
    rows.push([
      what,
      'PostgreSQL is shutting down (57P01).',
      `stores again after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`,
    ]);
  }
  const [installs] = await standby.admin('SELECT count(*)::int AS n FROM webdist_install', database);
  t.equal(installs?.['n'], 1);
});

t.test('PgBouncer', { skip: noPgBouncer }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const bouncer = await openPgBouncer(server.url);
  t.teardown(() => bouncer.close());
  const url = bouncer.through(await server.freshUrl());
  const { service } = await startService(t as Test, undefined, settings(t as Test, url));
  t.equal(service.health().ledger.state, 'ok');
  rows.push(['through PgBouncer', 'ok', 'works']);
  const missing = (await runDoctor({ env: settings(t as Test, url.replace(/test_\w+$/, 'missing')) })).find(
    ({ id }) => id === 'ledger',
  );
  t.match(missing, { result: 'fail', found: /^PostgreSQL has no database of the name in the URL/ });
  rows.push(['PgBouncer, a missing database', missing?.found ?? '', 'refuses to start']);
  server.stop('fast');
  await until(() => service.health().ledger.state === 'degraded', 'health to report it');
  const startedAt = Date.now();
  server.start();
  await until(() => service.health().ledger.state === 'ok', 'health to report it');
  rows.push([
    'through PgBouncer, PostgreSQL restarted',
    'PostgreSQL does not answer in time.',
    `works ${((Date.now() - startedAt) / 1000).toFixed(1)} s after its start`,
  ]);
});

t.test('docs/databases.md', { skip: noPgBouncer || noOpenssl }, async (t) => {
  checkTable(t as Test, 'docs/databases.md', 'postgres', ['PostgreSQL', 'message', 'webdist'], rows);
});
